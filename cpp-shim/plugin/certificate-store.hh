#pragma once
/**
 * @file
 * A local store that also accepts what certified keys have signed. Nothing
 * here depends on the release of Nix.
 */

#include "certificates.hh"

namespace nix {

/**
 * Decides like `LocalStore`, and asks for certificates where plain keys do
 * not suffice.
 *
 * Many people may have certificates, so this also does some of what the
 * patches for Nix do against clients that are not trusted: as much as a store
 * can do that does not know whose client it has.
 */
class CertificateStore : public virtual LocalStore
{
public:

    bool pathInfoIsUntrusted(const ValidPathInfo & info) override;
    bool realisationIsUntrusted(const Realisation & realisation) override;

    /**
     * Certificates are no reason to replace the contents of a valid path.
     */
    void addToStore(const ValidPathInfo & info, Source & source, RepairFlag repair, CheckSigsFlag checkSigs) override;

    /**
     * In the course of `addToStore()`, judges again, and sets the registration time.
     */
    void registerValidPaths(const ValidPathInfos & infos) override;

    void addSignatures(const StorePath & path, const Signatures & sigs) override;

    void registerDrvOutput(const Realisation & realisation) override;
    void registerDrvOutput(const Realisation & realisation, CheckSigsFlag checkSigs) override;

    /* Only the store of a release can be made. */
    virtual ~CertificateStore() = 0;

private:

    const std::string clientUser = findClientUser();

    bool plainKeysSuffice(const ValidPathInfo & info);
    bool plainKeysSuffice(const Realisation & realisation);
    SignatureReport judge(const ValidPathInfo & info);
    SignatureReport judge(const Realisation & realisation);
    [[noreturn]] void refuse(const ValidPathInfo & info, const SignatureReport & report);
};

} // namespace nix
