// The checker's rules for seccomp against the running kernel: it takes a filter exactly when check() does.
//
// A filter that was taken cannot be taken off again, and may forbid every system call. So each is tried in a child that
// notes the answer in shared memory and then ends by an illegal instruction, without a call.
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include <gtest/gtest.h>

#include <weir/cbpf/text.h>

#include "random_program.h"
#include "rounds.h"

namespace weir {
namespace {

enum Answer : int { kNone = -1, kTaken = 0 };  // otherwise an errno

// Stops for good, without a system call.
[[noreturn]] void end_without_a_call() {
  for (;;) __builtin_trap();
}

int try_in_child(const cbpf::Program& program, volatile int* answer) {
  *answer = kNone;
  const pid_t child = ::fork();
  if (child == 0) {
    const rlimit no_core{0, 0};
    ::setrlimit(RLIMIT_CORE, &no_core);
    std::vector<sock_filter> code;
    for (const cbpf::Instruction& i : program) code.push_back({i.code, i.jt, i.jf, i.k});
    sock_fprog filter{static_cast<unsigned short>(code.size()), code.data()};
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    const long made = ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter);
    *answer = made == 0 ? static_cast<int>(kTaken) : errno;
    end_without_a_call();
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {}
  return *answer;
}

class Seccomp : public testing::Test {
 protected:
  void SetUp() override {
    answer_ =
        static_cast<int*>(::mmap(nullptr, sizeof(int), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    ASSERT_NE(answer_, MAP_FAILED);
    const int allowed = try_in_child({cbpf::make(cbpf::Opcode::kRetK, SECCOMP_RET_ALLOW)}, answer_);
    if (allowed != kTaken) GTEST_SKIP() << "this kernel takes no seccomp filters here: errno " << allowed;
  }
  void TearDown() override { ::munmap(answer_, sizeof(int)); }

  void compare(const cbpf::Program& program) {
    const bool ours = cbpf::check(program, {.target = cbpf::Target::kSeccomp}).has_value();
    const int theirs = try_in_child(program, answer_);
    ASSERT_NE(theirs, kNone);
    ASSERT_EQ(ours, theirs == kTaken) << cbpf::write(program, cbpf::Format::kDecimal) << "errno " << theirs;
    taken_ += ours ? 1 : 0;
  }

  int* answer_ = nullptr;
  int taken_ = 0;
};

TEST_F(Seccomp, TakesExactlyTheOpcodesOfTheTable) {
  // Every code of a byte, with a constant that every opcode's own rule allows.
  for (std::uint32_t code = 0; code < 256; ++code)
    compare({cbpf::make(cbpf::Opcode::kSt, 4),
             {static_cast<std::uint16_t>(code), 0, 0, 4},
             cbpf::make(cbpf::Opcode::kRetK),
             cbpf::make(cbpf::Opcode::kRetK),
             cbpf::make(cbpf::Opcode::kRetK),
             cbpf::make(cbpf::Opcode::kRetK),
             cbpf::make(cbpf::Opcode::kRetK)});
  EXPECT_EQ(taken_, 41);
}

TEST_F(Seccomp, TakesExactlyTheLoadsThatTheCheckerTakes) {
  for (std::uint32_t offset = 0; offset < 80; ++offset)
    compare({cbpf::make(cbpf::Opcode::kLdWordAbsolute, offset), cbpf::make(cbpf::Opcode::kRetA)});
  for (const std::uint32_t offset : {0x80000000u, 0xfffff000u, 0xfffff004u, 0xffffffffu, 0xffe00000u})
    compare({cbpf::make(cbpf::Opcode::kLdWordAbsolute, offset), cbpf::make(cbpf::Opcode::kRetA)});
  EXPECT_EQ(taken_, 16);
}

TEST_F(Seccomp, TakesExactlyWhatTheCheckerTakes) {
  tests::ProgramMaker maker(41);
  const int wanted = tests::rounds(700);
  for (int i = 0; i < wanted; ++i) {
    const cbpf::Program made = maker.next();
    std::vector<cbpf::Instruction> code(made.begin(), made.end());
    for (cbpf::Instruction& instruction : code) {
      const cbpf::OpcodeInfo* info = cbpf::find(instruction.code);
      // Most of what only sockets take goes, or nothing would be left to take.
      if ((info == nullptr || !info->seccomp) && maker.below(12) != 0) instruction = cbpf::make(cbpf::Opcode::kAddK, 3);
      if (instruction.code == 0x20) instruction.k = maker.below(8) == 0 ? maker.below(70) : 4 * maker.below(16);
    }
    cbpf::Instruction& hit = code[maker.below(static_cast<std::uint32_t>(code.size()))];
    switch (maker.below(8)) {
      case 0: hit.code = static_cast<std::uint16_t>(maker.below(256)); break;
      case 1: hit.k = maker.constant(); break;
      case 2: hit.jt = static_cast<std::uint8_t>(maker.below(40)); break;
      default: break;
    }
    ASSERT_NO_FATAL_FAILURE(compare(cbpf::Program(std::move(code))));
  }
  std::printf("%d of %d taken\n", taken_, wanted);
  EXPECT_GT(taken_, wanted / 10);
  EXPECT_LT(taken_, wanted);
}

}  // namespace
}  // namespace weir
