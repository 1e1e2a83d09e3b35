// Maps and programs of the running kernel as the command line names them: by id ("12", "id:12"), by name ("counts",
// "name:12"), by a pin's path ("/sys/fs/bpf/counts", and "counts" where the working folder has that pin), programs also
// by tag ("tag:a04f5eef06a7f555").
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <weir/base/error.h>
#include <weir/kernel/ebpf.h>

namespace weir::tool {

// An error where nothing or more than one thing has this name; it lists the ids then.
Result<kernel::Map> find_map(const std::string& text);
Result<kernel::Program> find_program(const std::string& text);

// Calls `use` with every map or program there is; those that go meanwhile are left out.
Status each_map(const std::function<void(const kernel::Map&, const kernel::MapInfo&)>& use);
Status each_program(const std::function<void(const kernel::Program&, const kernel::ProgramInfo&)>& use);

// Paths of the pins of this kind, by id.
std::map<std::uint32_t, std::vector<std::string>> pinned(kernel::Pin::Kind kind);

// "1.5 kB", "2026-11-21 12:00:00".
std::string amount(std::uint64_t bytes);
std::string local_time(std::int64_t seconds);

// Rows as a table: columns two blanks apart, `right` says which are aligned to the right.
std::string table(const std::vector<std::vector<std::string>>& rows, const std::vector<bool>& right);

}  // namespace weir::tool
