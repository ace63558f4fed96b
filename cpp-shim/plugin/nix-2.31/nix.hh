#pragma once
/**
 * @file
 * Nix 2.31, as the rest of the plugin sees it.
 */

#include "nix/store/globals.hh"
#include "nix/store/keys.hh"
#include "nix/store/local-store.hh"
#include "nix/store/realisation.hh"
#include "nix/store/store-registration.hh"
#include "nix/util/base-n.hh"
#include "nix/util/config-global.hh"
#include "nix/util/finally.hh"
#include "nix/util/logging.hh"
#include "nix/util/strings.hh"
#include "nix/util/sync.hh"
#include "nix/util/util.hh"

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
        return base64::decode(BorrowedCryptoValue::parse(sig).payload).size() == ed25519SignatureSize;
    } catch (Error &) {
        return false;
    }
}

inline std::string realisationFingerprint(const Realisation & realisation)
{
    return realisation.fingerprint();
}

} // namespace nix
