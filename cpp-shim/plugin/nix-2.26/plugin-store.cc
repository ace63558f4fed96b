/**
 * @file
 * The plugin's store, as Nix 2.26 wants stores to be.
 */

#include "certificate-store.hh"

namespace nix {

struct PluginStoreConfig : virtual LocalStoreConfig
{
    PluginStoreConfig(const Params & params)
        : PluginStoreConfig(SCHEME, "", params)
    {
    }

    PluginStoreConfig(std::string_view scheme, PathView path, const Params & params)
        : StoreConfig(params)
        , LocalFSStoreConfig(path, params)
        , LocalStoreConfig(scheme, path, params)
    {
    }

    const std::string name() override
    {
        return "Local Store with Certificates";
    }

    std::string doc() override
    {
        return "";
    }

    static std::set<std::string> uriSchemes()
    {
        return {SCHEME};
    }
};

class PluginStore : public virtual PluginStoreConfig, public virtual CertificateStore
{
public:

    PluginStore(std::string_view scheme, PathView path, const Params & params)
        : StoreConfig(params)
        , LocalFSStoreConfig(path, params)
        , LocalStoreConfig(scheme, path, params)
        , PluginStoreConfig(scheme, path, params)
        , Store(params)
        , LocalFSStore(params)
        , LocalStore(scheme, path, params)
    {
    }

    std::string getUri() override
    {
        return SCHEME "://";
    }
};

} // namespace nix

/**
 * The loader calls this once.
 */
extern "C" void nixcert_plugin_register()
{
    nix::registerCertificateSettings();
    nix::Implementations::add<nix::PluginStore, nix::PluginStoreConfig>();
}
