#pragma once
/**
 * @file
 * Certificates for signing Nix packages: the verifier as C++ sees it.
 *
 * Nothing here throws, and nothing here needs Nix or cxx headers. Whatever
 * goes wrong inside refuses; only when memory runs out does the process end.
 */

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace nixcert {

/**
 * A certified key by which an object is signed.
 */
struct CertifiedKey
{
    /** The raw Ed25519 public key, 32 bytes. Two certificates of one key are one key. */
    std::string publicKey;
    /** Who holds it: the label in the leaf certificate. */
    std::string label;
    /** The serial number of the leaf certificate. */
    uint64_t serial = 0;
    /**
     * Who certified it: the CA's name in `trusted-ca-keys`, and the labels of
     * the intermediate CAs from there down, joined by `/`. Label and serial
     * mean something only together with this.
     */
    std::string authority;
};

/**
 * Why a certificate signature, or the object, is refused.
 */
struct Refusal
{
    /** The reason code, in kebab case; FORMAT.md lists them. */
    std::string code;
    /** One sentence for people: whose signature, why not, what would help. */
    std::string message;
};

struct Judgement
{
    /**
     * The distinct certified keys whose signatures count. Empty means: refuse.
     * It is also empty if the host's policy asks for more votes than there are.
     */
    std::vector<CertifiedKey> keys;
    /**
     * Why certificate signatures were refused, the most useful first, at
     * most `maxRefusals`. Signatures without a certificate are not listed.
     */
    std::vector<Refusal> refusals;
    /**
     * What rules of the host's policy that are in audit mode would have
     * refused; to be recorded if the object is accepted. At most `maxRefusals`.
     */
    std::vector<Refusal> audited;
};

/** As many refusals as a judgement lists, of each kind. */
constexpr size_t maxRefusals = 8;

/**
 * When an object is judged, in seconds since the Unix epoch.
 */
struct Times
{
    uint64_t now = 0;
    /** When this store registered the object, if it is already valid here. */
    std::optional<uint64_t> registered;
};

/**
 * What a host trusts.
 */
struct Configuration
{
    /** Entries of `trusted-ca-keys`, each `name:base64`. */
    std::vector<std::string> trustedCaKeys;
    /** The value of `ca-host-name`; empty if there is none. */
    std::string hostName;
    /**
     * The value of `ca-policy-file`, an absolute path; empty if there is none.
     *
     * This file, and the revocation lists that it names, are not opened before
     * they are needed, and are looked at again at each judgement: a change
     * counts at the next one. A policy that cannot be used refuses every
     * certificate, with the reason `broken-configuration`.
     */
    std::string policyFile;

    bool operator==(const Configuration &) const = default;
};

/**
 * @return Whether a key or signature name has the form of a certificate's,
 * `LABEL.nixcert1.…`. Keys of this form never become trusted keys implicitly.
 */
bool isCertifiedName(std::string_view name) noexcept;

/**
 * Judges objects by the certificates that ride in their signatures' names.
 * One may be used by several threads at once.
 */
class Verifier
{
public:
    explicit Verifier(const Configuration & configuration) noexcept;
    ~Verifier();
    Verifier(const Verifier &) = delete;
    Verifier & operator=(const Verifier &) = delete;

    /**
     * Look at the configuration, and again at its files.
     *
     * @return What is wrong with it; empty if nothing is. As long as something
     * is, every certificate is refused.
     */
    std::string configurationError() const noexcept;

    /**
     * Judge a store object.
     *
     * @param fingerprint What is signed, as `ValidPathInfo::fingerprint()` makes it.
     */
    Judgement judgePath(
        std::string_view fingerprint, const std::set<std::string> & signatures, const Times & times) const noexcept;

    /**
     * Judge a realisation.
     *
     * @param fingerprint What is signed, as `Realisation::fingerprint()` makes it.
     * @param storeDir The store directory, since the fingerprint does not hold it.
     */
    Judgement judgeRealisation(
        std::string_view fingerprint,
        std::string_view storeDir,
        const std::set<std::string> & signatures,
        const Times & times) const noexcept;

private:
    struct Impl;
    std::unique_ptr<Impl> impl;
};

}
