#include "certificates.hh"

#include <nixcert.hh>

#include <filesystem>

#include <pwd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

namespace nix {

struct CertificateSettings : Config
{
    Setting<Strings> trustedCaKeys{
        this,
        {},
        "trusted-ca-keys",
        R"(
          A whitespace-separated list of public keys of certificate authorities (CAs), each in the form `name:base64`, like those in [`trusted-public-keys`](#conf-trusted-public-keys).

          A CA certifies the signing keys of people or machines.
          Nix accepts a store object or realisation that is signed by a key that one of these CAs has certified as if that key were in [`trusted-public-keys`](#conf-trusted-public-keys), but only while the certificate is valid and within the limits that are written in it, such as the names of the store objects or the hosts that it is good for.
          The certificate is part of the name of the key, and so of the signature.

          Certificates are only looked at if the signatures by keys in [`trusted-public-keys`](#conf-trusted-public-keys) do not suffice.
          Each store object and realisation that is accepted because of a certificate is recorded in the system log, with facility `authpriv`.

          If there is anything wrong with this setting, then no certificate is accepted.
          Clients of the Nix daemon, trusted or not, cannot change it.
          A change counts for connections to the daemon that are made after it was restarted.
          Connections that are already open keep the old value, so end the processes that serve them after removing a CA.

          > **Warning**
          >
          > Whoever holds the secret key of a CA can let anyone add anything to the Nix store, until the CA's key is removed from this setting.
        )"};

    Setting<std::string> caHostName{
        this,
        "",
        "ca-host-name",
        R"(
          The name of this machine in certificates that are only good for certain hosts (see [`trusted-ca-keys`](#conf-trusted-ca-keys)).
          If it is empty, such certificates are not accepted.

          This is deliberately not derived from the machine's actual host name, which may be set by whoever controls the network.
          Clients of the Nix daemon cannot change it.
        )"};

    Setting<std::string> caPolicyFile{
        this,
        "",
        "ca-policy-file",
        R"(
          The absolute path of a TOML file with rules for the certificates of [`trusted-ca-keys`](#conf-trusted-ca-keys): what the certificates of each CA may be good for at most, names of store objects that are protected from them, names that need signatures by several people, and where to find lists of revoked certificates.
          If there is such a file, then only certificates of the CAs that it mentions are accepted.
          If there is none, i.e. if this setting is empty, then there are no such rules, and no certificate is revoked.

          Signatures by keys in [`trusted-public-keys`](#conf-trusted-public-keys) are not affected.

          Nix looks at the file, and at the lists that it names, again whenever it decides about a certificate.
          So a change counts at once, even for connections to the daemon that are already open.
          If this setting is not empty and the file cannot be used, then no certificate is accepted.
          Clients of the Nix daemon, trusted or not, cannot change this setting.

          What a rule that is only being tried out (in *audit mode*) would have refused is accepted, and recorded in the system log.
        )"};

    /**
     * Read Nix's configuration files, which Nix has read before it loaded
     * the plugin.
     *
     * Of the settings that it did not know then, it remembers the first value
     * of each, sorted by name, and no order of assigning and appending. So
     * `set()` takes these values only where the files have none.
     */
    void readFiles()
    {
        isReadingFiles = true;
        loadConfFile(*this);
        isReadingFiles = false;
    }

    bool set(const std::string & name, const std::string & value) override
    {
        auto setting = hasPrefix(name, "extra-") ? name.substr(6) : name;
        if (!isReadingFiles && inFiles.contains(setting))
            return true;
        if (!Config::set(name, value))
            return false;
        if (isReadingFiles)
            inFiles.insert(setting);
        return true;
    }

private:
    bool isReadingFiles = false;
    std::set<std::string> inFiles;
};

static CertificateSettings & certificateSettings()
{
    /* Nix uses it until the process ends. */
    static auto settings = new CertificateSettings;
    return *settings;
}

void registerCertificateSettings()
{
    static GlobalConfig::Register registration(&certificateSettings());
    certificateSettings().readFiles();
}

/**
 * @return A verifier for the current settings.
 */
static std::shared_ptr<const nixcert::Verifier> getVerifier()
{
    struct State
    {
        nixcert::Configuration configuration;
        std::shared_ptr<const nixcert::Verifier> verifier;
    };

    static Sync<State> state_;

    auto state(state_.lock());

    auto & trustedCaKeys = certificateSettings().trustedCaKeys.get();

    nixcert::Configuration configuration{
        .trustedCaKeys = {trustedCaKeys.begin(), trustedCaKeys.end()},
        .hostName = certificateSettings().caHostName.get(),
        .policyFile = certificateSettings().caPolicyFile.get(),
    };

    if (!state->verifier || state->configuration != configuration) {
        state->configuration = configuration;
        state->verifier = std::make_shared<const nixcert::Verifier>(configuration);

        auto error = state->verifier->configurationError();
        if (error != "")
            warn(
                "ignoring all certificates because of the settings 'trusted-ca-keys', 'ca-host-name' and 'ca-policy-file': %s",
                error);
    }

    return state->verifier;
}

std::string SignatureReport::showRefusals() const
{
    std::string res;
    for (auto & refusal : refusals)
        res += "\n  " + refusal;
    return res;
}

SignatureReport judgeCertificates(const SignedObject & object)
{
    SignatureReport report;

    if (certificateSettings().trustedCaKeys.get().empty())
        return report;

    auto verifier = getVerifier();

    nixcert::Times times{.now = (uint64_t) time(0)};

    auto judgement = object.storeDir
                         ? verifier->judgeRealisation(object.fingerprint, *object.storeDir, object.sigs, times)
                         : verifier->judgePath(object.fingerprint, object.sigs, times);

    for (auto & key : judgement.keys)
        report.certified.push_back(fmt("'%s' (certificate %016x of '%s')", key.label, key.serial, key.authority));

    for (auto & refusal : judgement.refusals)
        report.refusals.push_back(fmt("%s [%s]", refusal.message, refusal.code));

    for (auto & refusal : judgement.audited)
        report.audited.push_back(fmt("%s [%s]", refusal.message, refusal.code));

    return report;
}

void logCertifiedSigners(std::string_view what, std::string user, const SignatureReport & report)
{
    if (report.certified.empty())
        return;

    /* The user database may be a remote one, so don't rely on it. */
    for (auto & c : user)
        if (c <= ' ' || c >= 0x7f || c == '\'')
            c = '?';

    /* The system log loses messages that are too long, and whoever
       adds an object decides how many have signed it. */
    constexpr size_t maxSigners = 8;
    auto more = report.certified.size() > maxSigners ? report.certified.size() - maxSigners : 0;
    auto signers =
        concatStringsSep(", ", Strings(report.certified.begin(), std::prev(report.certified.end(), (ptrdiff_t) more)));
    if (more)
        signers += fmt(" and %d more", more);

    syslog(
        LOG_AUTHPRIV | LOG_NOTICE, "%s", fmt("accepted %s from user '%s', signed by %s", what, user, signers).c_str());

    for (auto & refusal : report.audited)
        syslog(
            LOG_AUTHPRIV | LOG_WARNING,
            "%s",
            fmt("policy in audit mode would have refused %s from user '%s': %s", what, user, refusal).c_str());
}

/**
 * @return Who connected to the daemon, if this is the daemon's end of a
 * connection: a stream that was accepted from a socket with a name.
 */
static std::optional<uid_t> getPeerOfDaemon(int fd)
{
    auto getOption = [&](int name, auto & value) {
        socklen_t size = sizeof(value);
        return getsockopt(fd, SOL_SOCKET, name, &value, &size) == 0 && size == sizeof(value);
    };

    int domain, type, isListening;
    if (!getOption(SO_DOMAIN, domain) || domain != AF_UNIX || !getOption(SO_TYPE, type) || type != SOCK_STREAM
        || !getOption(SO_ACCEPTCONN, isListening) || isListening)
        return std::nullopt;

    sockaddr_un address{};
    socklen_t size = sizeof(address);
    if (getsockname(fd, (sockaddr *) &address, &size) != 0 || address.sun_path[0] == 0)
        return std::nullopt;

    ucred peer;
    return getOption(SO_PEERCRED, peer) ? std::optional(peer.uid) : std::nullopt;
}

std::string findClientUser()
{
    auto user = getuid();

    /* Nix does not tell its store whom it serves. */
    std::error_code error;
    std::filesystem::directory_iterator entry("/proc/self/fd", error), end;
    for (; !error && entry != end; entry.increment(error))
        if (auto fd = string2Int<int>(entry->path().filename().string()))
            if (auto peer = getPeerOfDaemon(*fd)) {
                user = *peer;
                break;
            }
    if (error)
        return "<unknown>";

    auto pw = getpwuid(user);
    return pw ? pw->pw_name : std::to_string(user);
}

} // namespace nix
