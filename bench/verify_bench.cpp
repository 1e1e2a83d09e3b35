// How long verify takes: programs of 1,000 instructions of several shapes, and whole objects. Prints one line each, the
// best of many runs.
//
// usage: verify_bench [OBJECT...]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include <weir/base/file.h>
#include <weir/ebpf/text.h>
#include <weir/object/object.h>
#include <weir/verify/verify.h>

namespace {

using namespace weir;

constexpr std::size_t kSize = 1000;

std::string straight() {
  std::string text = "r0 = 1\nr6 = r2\n";
  for (std::size_t i = 2; i + 1 < kSize; ++i) {
    constexpr const char* kLines[] = {"r0 += r6\n", "r6 <<= 3\n", "r0 ^= 77\n",
                                      "w6 *= 5\n",  "r6 >>= 1\n", "r0 &= r6\n"};
    text += kLines[i % 6];
  }
  return text + "exit\n";
}
// A chain of tests on one number, as filters have them.
std::string tests() {
  std::string text = "r6 = r1\nr7 = r2\nr0 = 0\nif r7 < 64 goto out\n";
  std::size_t size = 4;
  for (int i = 0; size + 4 < kSize; ++i, size += 3)
    text +=
        "r3 = *(u16 *)(r6 + " + std::to_string(i % 62) + ")\nif r3 == " + std::to_string(i) + " goto out\nr0 += 1\n";
  return text + "out: exit\n";
}
// Diamonds: both sides meet again, and nothing of them matters later.
std::string diamonds() {
  std::string text = "r6 = r1\nr7 = r2\nr0 = 0\nif r7 < 64 goto out\n";
  std::size_t size = 4;
  for (int i = 0; size + 6 < kSize; ++i, size += 4)
    text += "r3 = *(u8 *)(r6 + " + std::to_string(i % 64) + ")\nif r3 > 9 goto d" + std::to_string(i) +
            "\nr0 += r3\nd" + std::to_string(i) + ": r0 ^= 1\n";
  return text + "out: exit\n";
}
std::string stack() {
  std::string text = "r6 = r2\nr0 = 0\n";
  for (std::size_t i = 2; i + 3 < kSize; i += 2) {
    const std::string place = std::to_string(8 * (1 + i / 2 % 64));
    text += "*(u64 *)(r10 - " + place + ") = r6\nr6 = *(u64 *)(r10 - " + place + ")\n";
  }
  return text + "exit\n";
}
std::string lookups() {
  std::string text = ".map m, hash, key 4, value 8, entries 4\nr0 = 0\n";
  for (std::size_t i = 1; i + 10 < kSize; i += 9) {
    const std::string out = "o" + std::to_string(i);
    text += "*(u32 *)(r10 - 4) = 1\nr2 = r10\nr2 += -4\nr1 = map[m]\ncall map_lookup_elem\nif r0 == 0 goto " + out +
            "\nr3 = *(u64 *)(r0 + 0)\nr3 += 1\n" + out + ": r0 = 0\n";
  }
  return text + "exit\n";
}

void time_one(const char* name, const ebpf::Program& program, ebpf::ProgramType type) {
  const auto checked = ebpf::check(program);
  if (!checked) return void(std::printf("%-24s %s\n", name, checked.error().message.c_str()));
  double best = 1e9;
  verify::Report report;
  for (int round = 0; round < 200; ++round) {
    const auto start = std::chrono::steady_clock::now();
    report = verify::examine(*checked, {.premise = {.type = type}});
    const std::chrono::duration<double, std::micro> spent = std::chrono::steady_clock::now() - start;
    best = std::min(best, spent.count());
    if (best > 5000 && round > 10) break;
  }
  std::printf("%-24s %5zu instructions %7llu walked %5u paths %9.1f us %s\n", name, program.size(),
              static_cast<unsigned long long>(report.statistics.steps), report.statistics.paths, best,
              report.verified ? "accepted" : report.refusal->message.c_str());
}

}  // namespace

int main(int argc, char** argv) {
  const std::pair<const char*, std::function<std::string()>> kShapes[] = {
      {"straight", straight}, {"tests", tests}, {"diamonds", diamonds}, {"stack", stack}, {"lookups", lookups}};
  for (const auto& [name, make] : kShapes) {
    const Result<ebpf::Program> program = ebpf::assemble(make());
    if (!program) return std::printf("%s: %s\n", name, program.error().message.c_str()), 1;
    time_one(name, *program, ebpf::ProgramType::kUnspec);
  }
  for (int i = 1; i < argc; ++i) {
    const Result<std::string> text = read_whole_file(argv[i]);
    if (!text) return std::printf("%s: %s\n", argv[i], text.error().message.c_str()), 1;
    const auto object = object::read({reinterpret_cast<const std::uint8_t*>(text->data()), text->size()});
    if (!object) return std::printf("%s: %s\n", argv[i], object.error().message.c_str()), 1;
    for (const ebpf::Program& program : object->programs) time_one(program.name.c_str(), program, program.type);
  }
  return 0;
}
