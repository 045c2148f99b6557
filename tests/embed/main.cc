// The smallest useful program: a model file and a prompt in, text out.
#include <brink/brink.h>

#include <iostream>

#include "describe.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: embed MODEL PROMPT\n";
    return 2;
  }
  try {
    const brink::Model model = brink::Model::open(argv[1]);
    std::cerr << describe(model) << '\n';
    brink::Session session(model, {.context = 512});
    for (std::string_view piece : session.generate(argv[2], {.max_tokens = 16}))
      std::cout << piece << std::flush;
    std::cout << '\n';
  } catch (const brink::Error& error) {
    std::cerr << "embed: " << error.what() << '\n';
    return 1;
  }
}
