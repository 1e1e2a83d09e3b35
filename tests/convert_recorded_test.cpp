// Every recorded classic program, as libpcap wrote it and as weir does for the same expression, converted for each
// place: weir's verifier and, where there is one, the running kernel's take the result. A part in a normal run; all of
// them where WEIR_ROUNDS is set.
#include <linux/bpf.h>

#include <cstdlib>

#include <gtest/gtest.h>

#include <weir/cbpf/text.h>
#include <weir/convert/convert.h>
#include <weir/ebpf/text.h>
#include <weir/filter/compile.h>
#include <weir/verify/verify.h>

#include "accept_lengths.h"
#include "bpf_syscall.h"
#include "shared_data.h"

namespace weir {
namespace {

using convert::Context;
using ebpf::ProgramType;

struct Place {
  const char* name;
  ProgramType type;
  convert::Options options;
};
const Place kPlaces[] = {
    {"memory", ProgramType::kUnspec, {.context = Context::kPacket}},
    {"xdp", ProgramType::kXdp, {.context = Context::kXdp, .returns = convert::Returns{2, 1}, .network_offset = 14}},
    {"tc", ProgramType::kSchedCls, {.context = Context::kSocket, .returns = convert::Returns{0, 2}}},
    {"classifier", ProgramType::kSchedCls, {.context = Context::kSocket, .returns = convert::Returns{-1, 0}}},
    {"socket", ProgramType::kSocketFilter, {.context = Context::kSocket}},
};

class Sweep {
 public:
  explicit Sweep(bool in_kernel) : in_kernel_(in_kernel) {}

  void add(const cbpf::Checked& program, const std::string& what) {
    for (const Place& place : kPlaces) {
      const auto converted = convert::convert(program, place.options);
      if (!converted) {  // an extension that the place does not have
        EXPECT_NE(converted.error().message.find("do not know the extension"), std::string::npos)
            << what << ": " << converted.error().message;
        ++refused;
        continue;
      }
      ++verified;
      slots += converted->size();
      const verify::Report report = verify::examine(*converted, {.premise = {.type = place.type}});
      EXPECT_TRUE(report.verified) << what << " for " << place.name << "\n"
                                   << verify::explain(*report.refusal) << write(*converted, ebpf::Format::kListing);
      if (!in_kernel_ || place.type == ProgramType::kUnspec) continue;
      std::string log;
      const auto load = [&](std::string* text) {
        return tests::load_kernel_program(static_cast<unsigned>(place.type), converted->instructions.data(),
                                          static_cast<unsigned>(converted->size()), text);
      };
      const int descriptor = load(nullptr);
      if (descriptor < 0) load(&log);
      EXPECT_GE(descriptor, 0) << what << " for " << place.name << "\n" << log;
      if (descriptor >= 0) close(descriptor);
    }
  }

  std::size_t verified = 0, refused = 0, slots = 0;

 private:
  bool in_kernel_;
};

TEST(ConvertRecorded, VerifiersTakeEveryProgram) {
  const auto path = tests::shared_folder() / "data" / "pcap-filter" / "accept.tsv";
  WEIR_REQUIRE_SHARED(path);
  const int probe = tests::make_kernel_map(BPF_MAP_TYPE_ARRAY, 4, 4, 1);
  if (probe >= 0) close(probe);
  Sweep sweep(probe >= 0);
  const std::size_t step = std::getenv("WEIR_ROUNDS") != nullptr ? 1 : 11;
  tests::LibpcapTestNames resolver;
  const std::vector<tests::Row> rows = tests::read_table(path);
  std::size_t programs = 0;
  for (std::size_t i = 0; i < rows.size(); i += step) {
    const tests::Row& row = rows[i];
    const std::string what = row.at("dlt") + " '" + row.at("expr") + "'";
    if (const auto listing = cbpf::read(row.at("program"))) {
      if (const auto checked = cbpf::check(*listing)) sweep.add(*checked, what), ++programs;
    }
    const auto ours = filter::compile(row.at("expr"), tests::options_of(row, resolver));
    if (ours) sweep.add(ours->program, "weir's " + what), ++programs;
  }
  std::printf("%zu programs: %zu conversions, %zu instructions; %zu that a place does not have\n", programs,
              sweep.verified, sweep.slots, sweep.refused);
  EXPECT_GT(programs, rows.size() / step);
  EXPECT_GT(sweep.verified, programs * 3);
}

}  // namespace
}  // namespace weir
