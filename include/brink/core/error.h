// The one exception type of brink.
#ifndef BRINK_CORE_ERROR_H_
#define BRINK_CORE_ERROR_H_

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

namespace brink {

/// Where an error was found. Empty fields do not apply.
struct ErrorPlace {
  std::string file{};                     ///< path as given by the caller
  std::string tensor{};                   ///< tensor or metadata key concerned
  std::optional<std::uint64_t> offset{};  ///< byte offset in `file`
};

/// Anything that goes wrong on loading, on bad input or on misuse. `what()` is one line:
/// "FILE: 'TENSOR': MESSAGE (at byte N)", leaving out what does not apply.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message, ErrorPlace place = {})
      : std::runtime_error(format(message, place)), place_(std::move(place)) {}

  const ErrorPlace& place() const { return place_; }

 private:
  static std::string format(const std::string& message, const ErrorPlace& place) {
    std::string text;
    if (!place.file.empty()) text += place.file + ": ";
    if (!place.tensor.empty()) text += "'" + place.tensor + "': ";
    text += message;
    if (place.offset) text += " (at byte " + std::to_string(*place.offset) + ")";
    return text;
  }

  ErrorPlace place_;
};

}  // namespace brink

#endif  // BRINK_CORE_ERROR_H_
