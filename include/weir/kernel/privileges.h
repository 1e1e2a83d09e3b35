// Giving up what a process no longer needs.
//
// All of it concerns the calling thread and the threads that it starts later: call it before there are others.
#pragma once

#include <cstdint>
#include <string>

#include <weir/base/error.h>

namespace weir::kernel {

enum class Keep : std::uint8_t {
  kNothing,
  kFileAccess,  // CAP_DAC_OVERRIDE, if it is there: root goes on opening files in directories of other users
};
// Clears all capabilities but what `keep` says, and keeps programs that are started later from getting any. The user
// stays the same, so root can still open root's files. Without privilege it does nothing that was not so before.
Status drop_capabilities(Keep keep = Keep::kNothing);

struct User {
  std::string name{};
  std::uint32_t user = 0;
  std::uint32_t group = 0;
};
Result<User> find_user(const std::string& name);

// Becomes this user with its groups, for good; then as drop_capabilities().
Status become(const User& user);

}  // namespace weir::kernel
