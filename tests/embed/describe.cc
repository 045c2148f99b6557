// The second unit that includes brink.h.
#include "describe.h"

std::string describe(const brink::Model& model) {
  return model.config().architecture + ", " + std::to_string(model.config().layers.size()) +
         " layers";
}
