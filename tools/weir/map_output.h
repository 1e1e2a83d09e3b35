// Maps after a run, as `weir run --maps` shows them, whether they lie in user space or in the running kernel.
//
// What can be read is listed, 100,000 entries a map at most; all are counted. Queues, stacks and ring buffers are
// emptied by it: the maps go with the run. Where the kernel (or a bloom filter) gives no way to read, it says so.
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
  // One of the `all` maps of a program.
  void add(runtime::Map& map, const std::vector<std::shared_ptr<runtime::Map>>& all);
  void add(LoadedPrograms::Map& map, const LoadedPrograms& all);

  const nlohmann::json& json() const { return json_; }
  const std::string& text() const { return text_; }

 private:
  nlohmann::json json_ = nlohmann::json::array();
  std::string text_;
};

}  // namespace weir::tool
