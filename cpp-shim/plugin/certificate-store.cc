#include "certificate-store.hh"

#include <nixcert.hh>

#include <algorithm>

namespace nix {

CertificateStore::~CertificateStore() = default;

static std::set<std::string> showSignatures(const Signatures & sigs)
{
    std::set<std::string> res;
    for (auto & sig : sigs)
        res.insert(showSignature(sig));
    return res;
}

/**
 * Signatures are stored as one string, separated by spaces, so one that
 * contains a space would not be read back as what it was. They are also
 * shown on terminals and put into JSON, which must be UTF-8.
 */
static void checkSignatureSyntax(const Signatures & sigs)
{
    for (auto & sig : showSignatures(sigs))
        if (std::any_of(sig.begin(), sig.end(), [](unsigned char c) { return c <= ' ' || c >= 0x7f; }))
            throw Error("invalid signature: it contains characters other than printable ASCII ones");
}

/**
 * The maximum total size in bytes of the signatures on one object.
 *
 * Any client may add signatures, and every process that looks at the
 * object reads all of them. This is enough for ten thousand signatures
 * with long key names.
 */
static constexpr size_t maxSignaturesSize = 16 * 1024 * 1024;

static void checkSignaturesSize(const Signatures & sigs)
{
    size_t size = 0;
    for (auto & sig : sigs)
        size += showSignature(sig).size();
    if (size > maxSignaturesSize)
        throw Error("too many signatures: their size is %d bytes, but at most %d are allowed", size, maxSignaturesSize);
}

/**
 * @return The signatures that Nix's own code may look at.
 *
 * It throws at the first one of the wrong size that has a trusted name, and
 * so loses a good one behind it. And it trusts the public halves of the keys
 * in `secret-key-files`, but a certified key counts only by virtue of its
 * certificate, unless the administrator named just that key.
 */
static Signatures plainSignatures(const Signatures & sigs)
{
    auto isTrustedByName = [](std::string_view name) {
        for (auto & key : settings.trustedPublicKeys.get())
            if (std::string_view(key).substr(0, key.find(':')) == name)
                return true;
        return false;
    };

    Signatures res;
    for (auto & sig : sigs) {
        auto name = signatureName(sig);
        if (signatureHasRightSize(sig) && (!nixcert::isCertifiedName(name) || isTrustedByName(name)))
            res.insert(sig);
    }
    return res;
}

bool CertificateStore::plainKeysSuffice(const ValidPathInfo & info)
{
    auto info2 = info;
    info2.sigs = plainSignatures(info.sigs);
    return !LocalStore::pathInfoIsUntrusted(info2);
}

bool CertificateStore::plainKeysSuffice(const Realisation & realisation)
{
    auto realisation2 = realisation;
    realisation2.signatures = plainSignatures(realisation.signatures);
    return !LocalStore::realisationIsUntrusted(realisation2);
}

SignatureReport CertificateStore::judge(const ValidPathInfo & info)
{
    /* The fingerprint of a path of unknown size cannot be calculated. */
    if (info.sigs.empty())
        return {};
    return judgeCertificates({
        .fingerprint = info.fingerprint(*this),
        .sigs = showSignatures(info.sigs),
        .storeDir = std::nullopt,
    });
}

SignatureReport CertificateStore::judge(const Realisation & realisation)
{
    return judgeCertificates({
        .fingerprint = realisationFingerprint(realisation),
        .sigs = showSignatures(realisation.signatures),
        .storeDir = storeDir,
    });
}

/* Substitution asks this before it downloads, and says why it does not, but
   not what is wrong with the certificates. */
bool CertificateStore::pathInfoIsUntrusted(const ValidPathInfo & info)
{
    if (plainKeysSuffice(info))
        return false;
    auto report = judge(info);
    if (!report.certified.empty())
        return false;
    if (!report.refusals.empty())
        warn("the certificates on '%s' do not count:%s", printStorePath(info.path), report.showRefusals());
    return true;
}

bool CertificateStore::realisationIsUntrusted(const Realisation & realisation)
{
    return !plainKeysSuffice(realisation) && judge(realisation).certified.empty();
}

void CertificateStore::refuse(const ValidPathInfo & info, const SignatureReport & report)
{
    throw Error(
        "cannot add path '%s' because it lacks a signature by a trusted key%s",
        printStorePath(info.path),
        Uncolored(report.showRefusals()));
}

/**
 * What `addToStore()` of this thread is adding.
 */
struct Import
{
    const LocalStore * store;
    const StorePath & path;
    SignatureReport report;
};

static thread_local Import * currentImport = nullptr;

void CertificateStore::addToStore(
    const ValidPathInfo & info, Source & source, RepairFlag repair, CheckSigsFlag checkSigs)
{
    checkSignatureSyntax(info.sigs);
    checkSignaturesSize(info.sigs);

    Import import{.store = this, .path = info.path, .report = {}};

    if (checkSigs && !plainKeysSuffice(info)) {
        import.report = judge(info);
        if (import.report.certified.empty())
            refuse(info, import.report);
        if (repair && isValidPath(info.path))
            refuse(info, {.refusals = {"a certificate does not allow replacing the contents of a path that is valid"}});
        /* It may become valid at any moment. */
        repair = NoRepair;
    }

    auto previousImport = std::exchange(currentImport, &import);
    Finally restoreImport([&]() { currentImport = previousImport; });

    LocalStore::addToStore(info, source, repair, NoCheckSigs);
}

void CertificateStore::registerValidPaths(const ValidPathInfos & infos)
{
    auto import = currentImport && currentImport->store == this ? currentImport : nullptr;
    auto i = import ? infos.find(import->path) : infos.end();
    if (i == infos.end())
        return LocalStore::registerValidPaths(infos);

    /* Certificates expire, and whoever sends the path decides how long that
       takes. */
    if (!import->report.certified.empty()) {
        import->report = judge(i->second);
        if (import->report.certified.empty())
            refuse(i->second, import->report);
    }

    /* The time at which the path was registered elsewhere says nothing about
       this store. */
    auto infos2 = infos;
    infos2.at(import->path).registrationTime = time(0);
    LocalStore::registerValidPaths(infos2);

    logCertifiedSigners(fmt("path '%s'", printStorePath(import->path)), clientUser, import->report);
}

void CertificateStore::addSignatures(const StorePath & path, const Signatures & sigs)
{
    checkSignatureSyntax(sigs);

    /* Nix dereferences a null pointer if the path is not valid, so it has to
       stay valid until then. */
    addTempRoot(path);
    auto allSigs = queryPathInfo(path)->sigs;
    allSigs.insert(sigs.begin(), sigs.end());
    checkSignaturesSize(allSigs);

    LocalStore::addSignatures(path, sigs);
}

void CertificateStore::registerDrvOutput(const Realisation & realisation)
{
    experimentalFeatureSettings.require(Xp::CaDerivations);

    checkSignatureSyntax(realisation.signatures);
    auto allSigs = realisation.signatures;
    if (auto known = queryRealisation(realisation.id))
        allSigs.insert(known->signatures.begin(), known->signatures.end());
    checkSignaturesSize(allSigs);

    LocalStore::registerDrvOutput(realisation);
}

void CertificateStore::registerDrvOutput(const Realisation & realisation, CheckSigsFlag checkSigs)
{
    experimentalFeatureSettings.require(Xp::CaDerivations);

    SignatureReport report;
    if (checkSigs && !plainKeysSuffice(realisation)) {
        report = judge(realisation);
        if (report.certified.empty())
            throw Error(
                "cannot register realisation '%s' because it lacks a signature by a trusted key%s",
                realisation.outPath.to_string(),
                Uncolored(report.showRefusals()));
    }

    auto isNew = report.certified.empty() || !queryRealisation(realisation.id);
    registerDrvOutput(realisation);
    if (isNew)
        logCertifiedSigners(
            fmt("realisation '%s' of '%s'", printStorePath(realisation.outPath), realisation.id.to_string()),
            clientUser,
            report);
}

} // namespace nix
