#pragma once
/**
 * @file
 * Nix 2.34, as the rest of the plugin sees it.
 */

#include "nix/store/globals.hh"
#include "nix/store/keys.hh"
#include "nix/store/local-store.hh"
#include "nix/store/realisation.hh"
#include "nix/store/store-registration.hh"
#include "nix/util/config-global.hh"
#include "nix/util/finally.hh"
#include "nix/util/logging.hh"
#include "nix/util/strings.hh"
#include "nix/util/sync.hh"
#include "nix/util/util.hh"

namespace nix {

using Signatures = std::set<Signature>;

/**
 * @return The signature as `NAME:BASE64`.
 */
inline std::string showSignature(const Signature & sig)
{
    return sig.to_string();
}

inline std::string_view signatureName(const Signature & sig)
{
    return sig.keyName;
}

/**
 * @return Whether Nix can verify it without throwing.
 */
inline bool signatureHasRightSize(const Signature & sig)
{
    constexpr size_t ed25519SignatureSize = 64;
    return sig.sig.size() == ed25519SignatureSize;
}

inline std::string realisationFingerprint(const Realisation & realisation)
{
    return realisation.fingerprint(realisation.id);
}

} // namespace nix
