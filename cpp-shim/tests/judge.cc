/* Judges one object through the C++ class, for the tests that drive it with the vectors. Reads lines from standard
   input, each a word, a space, and the rest as hexadecimal or as it is; prints what counts and what does not. */

#include "nixcert.hh"

#include <cstdlib>
#include <iomanip>
#include <iostream>
#include <new>
#include <sstream>

/* How many allocations of C++ succeed before one fails; none does if this is negative. */
static long allocationsLeft = -1;

void * operator new(std::size_t size)
{
    if (allocationsLeft >= 0 && allocationsLeft-- == 0)
        throw std::bad_alloc();
    if (auto p = std::malloc(size))
        return p;
    throw std::bad_alloc();
}

void operator delete(void * p) noexcept
{
    std::free(p);
}

void operator delete(void * p, std::size_t) noexcept
{
    std::free(p);
}

static std::string fromHex(const std::string & hex)
{
    std::string bytes;
    for (size_t i = 0; i + 1 < hex.size(); i += 2)
        bytes.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
    return bytes;
}

int main()
{
    nixcert::Configuration configuration;
    std::set<std::string> signatures;
    std::string kind, fingerprint, storeDir;
    nixcert::Times times;
    bool starve = false;

    for (std::string line; std::getline(std::cin, line);) {
        auto space = line.find(' ');
        auto word = line.substr(0, space);
        auto rest = space == std::string::npos ? "" : line.substr(space + 1);
        if (word == "now")
            times.now = std::stoull(rest);
        else if (word == "registered")
            times.registered = std::stoull(rest);
        else if (word == "kind")
            kind = rest;
        else if (word == "ca")
            configuration.trustedCaKeys.push_back(fromHex(rest));
        else if (word == "host")
            configuration.hostName = fromHex(rest);
        else if (word == "policy")
            configuration.policyFile = fromHex(rest);
        else if (word == "store")
            storeDir = fromHex(rest);
        else if (word == "fingerprint")
            fingerprint = fromHex(rest);
        else if (word == "signature")
            signatures.insert(fromHex(rest));
        else if (word == "starve")
            starve = true;
        else {
            std::cerr << "unknown word: " << word << "\n";
            return 2;
        }
    }

    auto judge = [&](const nixcert::Verifier & verifier) {
        return kind == "realisation" ? verifier.judgeRealisation(fingerprint, storeDir, signatures, times)
                                     : verifier.judgePath(fingerprint, signatures, times);
    };

    /* Each allocation in turn fails: whatever that is in the middle of, nothing counts and nothing ends. */
    for (long succeed = 0; starve; succeed++) {
        allocationsLeft = succeed;
        nixcert::Verifier verifier(configuration);
        auto error = verifier.configurationError();
        auto judgement = judge(verifier);
        starve = allocationsLeft < 0;
        allocationsLeft = -1;
        if (starve)
            std::cout << "starved " << judgement.keys.size() << " " << judgement.refusals.size() << "\n";
    }

    nixcert::Verifier verifier(configuration);
    if (auto error = verifier.configurationError(); !error.empty())
        std::cout << "broken " << error << "\n";
    auto judgement = judge(verifier);
    for (auto & key : judgement.keys)
        std::cout << "key " << key.label << " " << std::hex << std::setw(16) << std::setfill('0') << key.serial << " "
                  << key.authority << " " << std::dec << key.publicKey.size() << "\n";
    for (auto & refusal : judgement.refusals)
        std::cout << "refusal " << refusal.code << " " << refusal.message << "\n";
    for (auto & refusal : judgement.audited)
        std::cout << "audited " << refusal.code << " " << refusal.message << "\n";
    for (auto & signature : signatures)
        if (nixcert::isCertifiedName(signature.substr(0, signature.find(':'))))
            std::cout << "certified\n";
    return 0;
}
