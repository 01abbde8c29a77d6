// The same driver as negentropy_reference.js, for the reference in C++, which knows 64-bit times:
//
//     g++ -std=c++20 -O2 -I <the reference's folder cpp> -o driver negentropy_reference.cpp -lcrypto
#include <iostream>
#include <sstream>
#include <memory>
#include <string>
#include <vector>

#include "negentropy.h"
#include "negentropy/storage/Vector.h"

using Storage = negentropy::storage::Vector;

static std::string unhex(const std::string &text) {
    std::string bytes;
    for (size_t at = 0; at < text.size(); at += 2)
        bytes.push_back(static_cast<char>(std::stoi(text.substr(at, 2), nullptr, 16)));
    return bytes;
}

static std::string hex(const std::string &bytes) {
    std::string text;
    for (unsigned char byte : bytes) {
        text.push_back("0123456789abcdef"[byte >> 4]);
        text.push_back("0123456789abcdef"[byte & 15]);
    }
    return text.empty() ? "-" : text;
}

static std::string listed(const std::vector<std::string> &digests) {
    std::string text;
    for (const auto &digest : digests) text += (text.empty() ? "" : ",") + hex(digest);
    return text.empty() ? "-" : text;
}

int main() {
    std::unique_ptr<Storage> items;
    std::unique_ptr<Negentropy<Storage>> talk;
    std::string line;
    while (std::getline(std::cin, line)) {
        std::istringstream words(line);
        std::string command, digest, message;
        uint64_t frame, time;
        words >> command;
        if (command == "set") {
            items = std::make_unique<Storage>();
            words >> frame;
            while (words >> time >> digest) items->insert(time, unhex(digest));
            items->seal();
            talk = std::make_unique<Negentropy<Storage>>(*items, frame);
        } else if (command == "initiate") {
            std::cout << hex(talk->initiate()) << std::endl;
        } else {
            std::vector<std::string> have, need;
            words >> message;
            std::string answer;
            if (talk->isInitiator)
                answer = talk->reconcile(unhex(message), have, need).value_or("");
            else
                answer = talk->reconcile(unhex(message));
            std::cout << hex(answer) << " " << listed(have) << " " << listed(need) << std::endl;
        }
    }
}
