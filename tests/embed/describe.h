#ifndef BRINK_TESTS_EMBED_DESCRIBE_H_
#define BRINK_TESTS_EMBED_DESCRIBE_H_

#include <brink/brink.h>

#include <string>

std::string describe(const brink::Model& model);

#endif  // BRINK_TESTS_EMBED_DESCRIBE_H_
