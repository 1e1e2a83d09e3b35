// Where file systems are mounted.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace weir::kernel {

// The folders where this thread sees a file system of the type, such as "bpf"; none where the system does not tell.
std::vector<std::string> mounts_of(std::string_view type);

}  // namespace weir::kernel
