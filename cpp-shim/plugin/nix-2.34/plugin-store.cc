/**
 * @file
 * The plugin's store, as Nix 2.34 wants stores to be.
 */

#include "certificate-store.hh"

namespace nix {

struct PluginStoreConfig : virtual LocalStoreConfig
{
    PluginStoreConfig(const Params & params)
        : PluginStoreConfig("", params)
    {
    }

    PluginStoreConfig(const std::filesystem::path & path, const Params & params)
        : StoreConfig(params)
        , LocalFSStoreConfig(path, params)
        , LocalStoreConfig(path, params)
    {
    }

    static const std::string name()
    {
        return "Local Store with Certificates";
    }

    static std::string doc()
    {
        return "";
    }

    static StringSet uriSchemes()
    {
        return {SCHEME};
    }

    ref<Store> openStore() const override;

    StoreReference getReference() const override
    {
        return {
            .variant = StoreReference::Specified{.scheme = SCHEME},
            .params = getQueryParams(),
        };
    }
};

class PluginStore : public virtual CertificateStore
{
public:

    PluginStore(ref<const PluginStoreConfig> config)
        : Store{*config}
        , LocalFSStore{*config}
        , LocalStore{static_cast<ref<const LocalStore::Config>>(config)}
    {
    }
};

ref<Store> PluginStoreConfig::openStore() const
{
    return make_ref<PluginStore>(ref{std::dynamic_pointer_cast<const PluginStoreConfig>(shared_from_this())});
}

} // namespace nix

/**
 * The loader calls this once.
 */
extern "C" void nixcert_plugin_register()
{
    nix::registerCertificateSettings();
    nix::Implementations::add<nix::PluginStoreConfig>();
}
