/**
 * @file
 * What `plugin-files` names: loads the store into the Nix for which it was
 * built, and into no other.
 *
 * Every Nix command on the machine reads `plugin-files`, and a plugin that
 * cannot be loaded is an error to each of them. So this part needs nothing of
 * Nix, finds out which Nix it is in, and otherwise leaves things as they are.
 * Then there are no certificates, and a daemon that was told to use the store
 * cannot open it.
 */

#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <dlfcn.h>
#include <elf.h>
#include <link.h>

namespace {

/**
 * @return Whether this process was told to use the plugin's store. To all
 * others it makes no difference whether the plugin works, so they are not told.
 */
bool isWanted()
{
    auto remote = getenv("NIX_REMOTE");
    return remote && std::string_view(remote).starts_with(SCHEME ":");
}

void explain(const std::string & why)
{
    if (!isWanted())
        return;
    fprintf(
        stderr,
        "warning: the nixcert plugin for Nix " NIX_VERSION
        " is not used, because %s\n"
        "  No certificate is accepted, and the store '" SCHEME
        "://' cannot be opened. Build the plugin for this Nix,\n"
        "  or take 'NIX_REMOTE=" SCHEME "://' out of the environment of the Nix daemon to do without certificates.\n",
        why.c_str());
}

/**
 * The version of the Nix in this process. Where its libraries are linked
 * statically, it usually has no such symbol.
 */
std::optional<std::string> nixVersion()
{
    /* `std::string nix::nixVersion` */
    auto version = static_cast<const std::string *>(dlsym(RTLD_DEFAULT, "_ZN3nix10nixVersionB5cxx11E"));
    return version ? std::optional(*version) : std::nullopt;
}

struct LoadedStore
{
    bool found = false;
    /** In hexadecimal. */
    std::string buildId;
};

void readBuildId(const char * note, size_t size, std::string & buildId)
{
    auto align = [](size_t n) { return (n + 3) & ~size_t(3); };
    while (size >= sizeof(ElfW(Nhdr))) {
        auto header = reinterpret_cast<const ElfW(Nhdr) *>(note);
        auto nameAt = sizeof(*header), idAt = nameAt + align(header->n_namesz), next = idAt + align(header->n_descsz);
        if (next > size)
            return;
        if (header->n_type == NT_GNU_BUILD_ID
            && std::string_view(note + nameAt, header->n_namesz) == std::string_view("GNU\0", 4)) {
            char hex[3];
            for (size_t i = 0; i < header->n_descsz; i++) {
                snprintf(hex, sizeof(hex), "%02x", static_cast<unsigned char>(note[idAt + i]));
                buildId += hex;
            }
            return;
        }
        note += next;
        size -= next;
    }
}

int findStore(dl_phdr_info * info, size_t, void * result)
{
    std::string_view name(info->dlpi_name ? info->dlpi_name : "");
    name = name.substr(name.rfind('/') + 1);
    if (!name.starts_with("libnixstore.so"))
        return 0;
    auto & store = *static_cast<LoadedStore *>(result);
    store.found = true;
    for (size_t i = 0; i < info->dlpi_phnum && store.buildId.empty(); i++) {
        auto & header = info->dlpi_phdr[i];
        if (header.p_type == PT_NOTE)
            readBuildId(
                reinterpret_cast<const char *>(info->dlpi_addr + header.p_vaddr), header.p_memsz, store.buildId);
    }
    return 1;
}

/**
 * The second part is beside this one.
 */
std::string storeFile()
{
    Dl_info self;
    if (!dladdr(reinterpret_cast<void *>(&storeFile), &self) || !self.dli_fname)
        return STORE_NAME;
    std::string_view file(self.dli_fname);
    return std::string(file.substr(0, file.rfind('/') + 1)) + STORE_NAME;
}

void load()
{
    auto version = nixVersion();
    LoadedStore store;
    dl_iterate_phdr(findStore, &store);

    if (!version || !store.found)
        return explain("this Nix has no shared libnixstore.");
    if (*version != NIX_VERSION)
        return explain("this is Nix " + *version + ".");
    /* Patches may have changed what the version does not tell. */
    if (store.buildId != NIX_BUILD_ID)
        return explain("this is another build of that version than the one that it was built for.");

    auto handle = dlopen(storeFile().c_str(), RTLD_NOW | RTLD_LOCAL);
    auto registerStore = handle ? reinterpret_cast<void (*)()>(dlsym(handle, "nixcert_plugin_register")) : nullptr;
    if (!registerStore) {
        auto error = dlerror();
        return explain(std::string("it cannot be loaded: ") + (error ? error : "unknown error"));
    }
    registerStore();
}

} // namespace

/**
 * Nix calls this when it has read its settings.
 */
extern "C" void nix_plugin_entry()
{
    /* `plugin-files` may name it twice, and nothing can be registered twice. */
    static bool isLoaded = false;
    if (!std::exchange(isLoaded, true))
        load();
}
