/* Judges one object through the C++ class, for the tests that drive it with the vectors. Reads lines from standard
   input, each a word, a space, and the rest as hexadecimal or as it is; prints what counts and what does not. */

#include "nixcert.hh"

#include <iomanip>
#include <iostream>
#include <sstream>

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
        else {
            std::cerr << "unknown word: " << word << "\n";
            return 2;
        }
    }

    nixcert::Verifier verifier(configuration);
    if (auto error = verifier.configurationError(); !error.empty())
        std::cout << "broken " << error << "\n";
    auto judgement = kind == "realisation"
        ? verifier.judgeRealisation(fingerprint, storeDir, signatures, times)
        : verifier.judgePath(fingerprint, signatures, times);
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
