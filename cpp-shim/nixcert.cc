#include "nixcert.hh"

#include "nixcert-ffi/src/lib.rs.h"

#include <exception>

namespace nixcert {

namespace {

rust::Slice<const uint8_t> asBytes(std::string_view s)
{
    return {reinterpret_cast<const uint8_t *>(s.data()), s.size()};
}

template<typename Strings>
std::vector<bridge::Bytes> asBytesList(const Strings & strings)
{
    std::vector<bridge::Bytes> list;
    list.reserve(strings.size());
    for (auto & s : strings)
        list.push_back({asBytes(s)});
    return list;
}

rust::Slice<const bridge::Bytes> asSlice(const std::vector<bridge::Bytes> & list)
{
    return {list.data(), list.size()};
}

bridge::When asWhen(const Times & times)
{
    return {times.now, times.registered.has_value(), times.registered.value_or(0)};
}

std::vector<Refusal> fromBridge(const rust::Vec<bridge::Refusal> & list)
{
    std::vector<Refusal> refusals;
    for (auto & refusal : list)
        refusals.push_back({
            .code = std::string(refusal.code),
            .message = std::string(refusal.message),
        });
    return refusals;
}

Judgement fromBridge(const bridge::Judgement & judged)
{
    Judgement judgement;
    for (auto & key : judged.keys)
        judgement.keys.push_back({
            .publicKey = {key.public_key.begin(), key.public_key.end()},
            .label = std::string(key.label),
            .serial = key.serial,
            .authority = std::string(key.authority),
        });
    judgement.refusals = fromBridge(judged.refusals);
    judgement.audited = fromBridge(judged.audited);
    return judgement;
}

}

struct Verifier::Impl
{
    rust::Box<bridge::Verifier> verifier;
};

bool isCertifiedName(std::string_view name) noexcept
{
    return bridge::is_certified_name(asBytes(name));
}

Verifier::Verifier(const Configuration & configuration) noexcept
{
    /* Inside of the body: the handler of a constructor's function-try-block throws again what it has caught. */
    try {
        auto list = asBytesList(configuration.trustedCaKeys);
        impl.reset(new Impl{bridge::new_verifier(
            asSlice(list), asBytes(configuration.hostName), asBytes(configuration.policyFile), maxRefusals)});
    } catch (const std::exception &) {
        /* Without `impl`, every certificate is refused. */
    }
}

Verifier::~Verifier() = default;

std::string Verifier::configurationError() const noexcept
try {
    if (!impl)
        return "out of memory";
    return std::string(impl->verifier->configuration_error());
} catch (const std::exception &) {
    return {};
}

Judgement Verifier::judgePath(
    std::string_view fingerprint, const std::set<std::string> & signatures, const Times & times) const noexcept
try {
    if (!impl)
        return {};
    auto list = asBytesList(signatures);
    return fromBridge(impl->verifier->judge_path(asBytes(fingerprint), asSlice(list), asWhen(times)));
} catch (const std::exception &) {
    return {};
}

Judgement Verifier::judgeRealisation(
    std::string_view fingerprint,
    std::string_view storeDir,
    const std::set<std::string> & signatures,
    const Times & times) const noexcept
try {
    if (!impl)
        return {};
    auto list = asBytesList(signatures);
    return fromBridge(impl->verifier->judge_realisation(
        asBytes(fingerprint), asBytes(storeDir), asSlice(list), asWhen(times)));
} catch (const std::exception &) {
    return {};
}

}
