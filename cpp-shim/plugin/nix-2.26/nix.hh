#pragma once
/**
 * @file
 * Nix 2.26, as the rest of the plugin sees it.
 */

/* These come first: Nix compiles everything with them. */
#include "config-util.hh"
#include "config-store.hh"

#include "config-global.hh"
#include "finally.hh"
#include "globals.hh"
#include "keys.hh"
#include "local-store.hh"
#include "logging.hh"
#include "realisation.hh"
#include "strings.hh"
#include "sync.hh"
#include "util.hh"

namespace nix {

using Signatures = StringSet;

/**
 * @return The signature as `NAME:BASE64`.
 */
inline const std::string & showSignature(const std::string & sig)
{
    return sig;
}

inline std::string_view signatureName(const std::string & sig)
{
    return BorrowedCryptoValue::parse(sig).name;
}

/**
 * @return Whether Nix can verify it without throwing.
 */
inline bool signatureHasRightSize(const std::string & sig)
{
    constexpr size_t ed25519SignatureSize = 64;
    try {
        return base64Decode(BorrowedCryptoValue::parse(sig).payload).size() == ed25519SignatureSize;
    } catch (Error &) {
        return false;
    }
}

inline std::string realisationFingerprint(const Realisation & realisation)
{
    return realisation.fingerprint();
}

} // namespace nix
