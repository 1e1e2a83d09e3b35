// Maps after a run, as `weir run --maps` shows them, whether they lie in user space or in the running kernel; and those
// of a debugger, as JSON.
//
// What can be read is listed, 100,000 entries a map at most; all are counted. Ring buffers, and the kernel's queues and
// stacks, are emptied by it: the maps go with the run. Where the kernel (or a bloom filter) gives no way to read, it
// says so.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <weir/engine/ebpf.h>

#include "prog_verbs.h"

namespace weir::tool {

class MapOutput {
 public:
  // One of the `all` maps of a program. keep_records: nothing is taken out of a ring buffer, and "bytes" says how many
  // wait.
  void add(runtime::Map& map, const std::vector<std::shared_ptr<runtime::Map>>& all, bool keep_records = false);
  void add(LoadedPrograms::Map& map, const LoadedPrograms& all);

  const nlohmann::json& json() const { return json_; }
  const std::string& text() const { return text_; }

 private:
  nlohmann::json json_ = nlohmann::json::array();
  std::string text_;
};

}  // namespace weir::tool
