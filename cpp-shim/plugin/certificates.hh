#pragma once
/**
 * @file
 * The settings about certificates, and what libnixcert says about the
 * signatures on an object. Nothing here depends on the release of Nix.
 */

#include "nix.hh"

namespace nix {

/**
 * Make the settings known to Nix.
 */
void registerCertificateSettings();

/**
 * What there is to say about the certificates in the signatures on an
 * object.
 */
struct SignatureReport
{
    /**
     * The holders of the certified keys that count. If there is none, the
     * certificates are no reason to accept the object.
     */
    Strings certified;

    /**
     * Why other certified keys do not count.
     */
    Strings refusals;

    /**
     * Why the object would have been refused, if the rules for
     * certificates that are in audit mode were in force.
     */
    Strings audited;

    /**
     * @return `refusals`, each on a line of its own, to be appended to an
     * error message.
     */
    std::string showRefusals() const;
};

/**
 * An object and its signatures, as libnixcert takes them.
 */
struct SignedObject
{
    std::string fingerprint;
    std::set<std::string> sigs;

    /**
     * For a realisation, the store directory, which is not part of the
     * fingerprint.
     */
    std::optional<std::string> storeDir;
};

/**
 * Judge a new object by the certificates in its signatures.
 */
SignatureReport judgeCertificates(const SignedObject & object);

/**
 * Record in the system log that an object was accepted because of
 * certificates, if it was, and what rules in audit mode have to say about
 * that. The daemon's own log would go to the client.
 *
 * @param what The object, e.g. `path '/nix/store/...'`.
 * @param user Who added it.
 */
void logCertifiedSigners(std::string_view what, std::string user, const SignatureReport & report);

/**
 * @return The name of the user at the other end of the daemon's connection
 * that this process serves, or else of the user as whom it runs; `<unknown>`
 * if that cannot be found out.
 */
std::string findClientUser();

} // namespace nix
