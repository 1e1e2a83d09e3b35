// The options of weir capture.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "expression.h"

namespace weir::tool {

struct CaptureOptions {
  std::vector<std::string> interfaces;
  std::vector<std::string> expression;
  std::string expression_file;
  std::string output;
  std::string format = "pcapng";
  std::string direction = "both";
  std::string fanout = "hash";
  std::string ring = "16M";
  std::string rotate_size;
  std::string rotate_time;
  std::string duration;
  std::string user;
  std::uint32_t snap_length = 262144;
  std::uint32_t rotate_files = 0;
  std::uint32_t threads = 1;
  std::uint64_t count = 0;
  std::string xdp_mode = "auto";
  bool af_xdp = false;
  bool count_only = false;
  bool no_promiscuous = false;
  bool in_weir = false;
  bool keep_privileges = false;
  bool list = false;
  bool json = false;
  bool quiet = false;
  LanguageFlags language;
};

// Returns the exit status.
int run_capture(const CaptureOptions& options);

}  // namespace weir::tool
