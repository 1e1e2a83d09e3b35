// Errors of the operating system as Diagnostics. Exports system_failure.
#include <weir/base/error.h>

#include <system_error>

namespace weir {

Error system_failure(std::string message, int error_number) {
  return Error{.code = ErrorCode::kSystem,
               .message = std::move(message) + ": " + std::generic_category().message(error_number),
               .place = {},
               .system_error = error_number};
}

}  // namespace weir
