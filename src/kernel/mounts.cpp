// Exports mounts_of. Source: getmntent(3), which turns blanks back that the kernel wrote as \040.
#include "kernel/mounts.h"

#include <mntent.h>

#include <cstdio>
#include <memory>

namespace weir::kernel {

std::vector<std::string> mounts_of(std::string_view type) {
  std::vector<std::string> folders;
  const auto close = [](std::FILE* file) { endmntent(file); };
  const std::unique_ptr<std::FILE, decltype(close)> table(setmntent("/proc/thread-self/mounts", "re"), close);
  if (table == nullptr) return folders;
  mntent entry{};
  // Of a longer line only options are lost: device and folder, escaped, take at most half of it.
  std::vector<char> line(64 << 10);
  while (getmntent_r(table.get(), &entry, line.data(), static_cast<int>(line.size())) != nullptr)
    if (entry.mnt_type == type) folders.emplace_back(entry.mnt_dir);
  return folders;
}

}  // namespace weir::kernel
