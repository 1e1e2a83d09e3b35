// Policies: text both ways, programs against the policy's own meaning, real children, explained and audited filters.
#include <weir/kernel/seccomp.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <linux/seccomp.h>
#include <new>
#include <pthread.h>
#include <random>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <weir/kernel/seccomp_analysis.h>

namespace weir::kernel {
namespace {

using testing::Contains;
using testing::Field;
using testing::HasSubstr;

constexpr std::uint32_t kX86Audit = 0xc000003e;
constexpr std::uint32_t kI386Audit = 0x40000003;

cbpf::Checked compiled(std::string_view text) {
  const auto policy = parse_policy(text);
  EXPECT_TRUE(policy) << policy.error().message;
  auto made = compile_policy(*policy);
  EXPECT_TRUE(made) << made.error().message;
  return std::move(made->program);
}

TEST(Policy, TextGoesBothWays) {
  const char* text =
      "arch x86_64 i386\n"
      "default errno(EPERM)\nmismatch kill-thread\n"
      "allow read write  # two calls\n"
      "trace(7) ptrace\n"
      "errno(111) socket if arg0 == 16 or arg1 & 0xf >= 3 and arg2 != 0x1ffffffff\n";
  const auto policy = parse_policy(text);
  ASSERT_TRUE(policy) << policy.error().message;
  EXPECT_EQ(policy->rules.size(), 3u);
  EXPECT_EQ(policy->rules[2].any_of.size(), 2u);
  EXPECT_EQ(policy->rules[2].any_of[1].size(), 2u);
  EXPECT_EQ(*parse_policy(write_policy(*policy)), *policy);
}

TEST(Policy, MistakesAreShownWhereTheyAre) {
  const auto expect = [](std::string_view text, std::string_view marked, std::string_view message) {
    const auto policy = parse_policy(text);
    ASSERT_FALSE(policy) << text;
    const auto* span = std::get_if<Span>(&policy.error().place);
    ASSERT_NE(span, nullptr) << text;
    EXPECT_EQ(text.substr(span->begin, span->end - span->begin), marked) << text;
    EXPECT_THAT(policy.error().message, HasSubstr(std::string(message)));
  };
  expect("allow raed\n", "raed", "unknown system call");
  expect("alow read\n", "alow", "unknown action");
  expect("arch x86_65\n", "x86_65", "unknown architecture");
  expect("default allow\ndefault kill\n", "default", "stands twice");
  expect("allow read if arg6 == 1\n", "arg6", "no argument");
  expect("allow read if arg1 = = 1\n", "=", "no number");
  expect("allow read if arg1 == 99999999999999999999\n", "99999999999999999999", "no number");
  expect("errno(9999) read\n", "errno(9999)", "no number up to 4095");
  expect("allow read if arg1 == 1 arg2 == 2\n", "arg2", "not expected");
  expect("allow read if\n", "", "missing");
  EXPECT_EQ(parse_policy("allow raed").error().hint, "did you mean 'read'?");
}

TEST(Policy, NumbersAreThoseOfC) {
  const auto test = [](std::string_view condition) {
    const auto policy = parse_policy(std::string("allow openat if ") + std::string(condition));
    EXPECT_TRUE(policy) << condition << policy.error().message;
    return policy->rules.front().any_of.front().front();
  };
  EXPECT_EQ(test("arg1 & 04000 != 0").mask, 04000u);
  EXPECT_EQ(test("arg1 & S_ISUID != 0").mask, 04000u);
  EXPECT_EQ(test("arg2 == 0").value, 0u);
  EXPECT_EQ(test("arg0 == -100").value, 0xffffffffffffff9cu);
  EXPECT_EQ(test("arg0:32 == -100").value, 0xffffff9cu);
  EXPECT_EQ(test("arg0:32 == AT_FDCWD").value, 0xffffff9cu);
  EXPECT_EQ(test("arg0:32 == AT_FDCWD").mask, 0xffffffffu);
  EXPECT_EQ(test("arg2 & O_WRONLY|O_RDWR != 0").mask, 3u);
  EXPECT_EQ(test("arg2&(O_WRONLY | O_RDWR)!=0").mask, 3u);
  EXPECT_EQ(test("arg2:32 & O_ACCMODE == 1").mask, 3u);
  for (const char* wrong : {"arg0 == 08", "arg0 == 09", "arg0 < -1", "arg0:32 == 0x100000000", "arg0:32 == -2147483649",
                            "arg0 == 0x", "arg0 == -", "arg0:16 == 1", "arg0 == AF_INTE", "(arg0 == 1", "arg0 == 1)",
                            "arg0 == 1 | arg1 == 2", "arg0 & (3 == 1"})
    EXPECT_FALSE(parse_policy(std::string("allow read if ") + wrong)) << wrong;
  EXPECT_EQ(parse_policy("allow read if arg0 == AF_INTE").error().hint, "did you mean 'AF_INET'?");
}

TEST(Policy, ConditionsNestAndNeedNoSpaces) {
  const auto same = [](std::string_view a, std::string_view b) {
    const auto one = parse_policy(a);
    const auto other = parse_policy(b);
    ASSERT_TRUE(one && other) << a;
    EXPECT_EQ(*one, *other) << a;
  };
  same("kill read if arg0==1||arg1==2", "kill read if arg0 == 1 or arg1 == 2");
  same("kill read if(arg0==1||arg1==2)&&arg2==3", "kill read if arg0 == 1 and arg2 == 3 or arg1 == 2 and arg2 == 3");
  same("kill-process read\nkill_thread write\nuser_notif open", "kill read\nkill-thread write\nnotify open");
  std::string deep = "kill read if ";
  for (int i = 0; i < 1000; ++i) deep += "(";
  EXPECT_FALSE(parse_policy(deep));
  std::string wide = "kill read if arg0 == 1";
  for (int i = 0; i < 40; ++i) wide += " and (arg1 == 2 or arg2 == 3)";
  EXPECT_FALSE(parse_policy(wide));
}

TEST(Policy, EveryErrorHasItsName) {
  for (const char* name : {"ENAMETOOLONG", "ELOOP", "EHWPOISON", "ECONNREFUSED", "EWOULDBLOCK", "EKEYREVOKED"})
    EXPECT_TRUE(read_action(std::string("errno(") + name + ")")) << name;
  EXPECT_EQ(write_action(Action{0x00050000 | ECONNREFUSED}), "errno(ECONNREFUSED)");
  EXPECT_EQ(read_action("errno(EACCESS)").error().hint, "did you mean 'EACCES'?");
  EXPECT_EQ(read_action("errno(010)")->value & 0xffff, 8u);
}

std::vector<std::string> warnings_of(std::string_view text) {
  const auto policy = parse_policy(text);
  EXPECT_TRUE(policy) << text;
  const auto made = compile_policy(*policy);
  EXPECT_TRUE(made) << text;
  std::vector<std::string> messages;
  for (const Diagnostic& one : made->warnings) messages.push_back(one.message);
  return messages;
}

TEST(Lint, UpperHalvesOfInts) {
  for (const char* open :
       {"default allow\nerrno(1) socket if arg0 == 16", "default allow\nkill ioctl if arg1 == TIOCSTI",
        "default allow\nkill socket if arg0 <= 3", "default kill\nallow socket if arg0 != 16",
        "default kill\nallow socket if arg0 > 1", "default allow\nkill read if arg1 == 1 or arg0 == 2"})
    EXPECT_THAT(warnings_of(std::string("arch x86_64\n") + open), Contains(HasSubstr("gets around it"))) << open;
  EXPECT_THAT(warnings_of("arch x86_64\ndefault kill\nallow openat if arg0 == AT_FDCWD"),
              Contains(HasSubstr("callers may leave the upper half 0")));
  for (const char* closed : {"arch x86_64\ndefault allow\nerrno(1) socket if arg0:32 == 16",
                             "arch x86_64\ndefault kill\nallow socket if arg0 == 16",
                             "arch x86_64\ndefault kill\nerrno(1) socket if arg0 == 16",
                             "arch i386\ndefault allow\nerrno(1) ioctl if arg1 == 16",
                             "arch x86_64\ndefault allow\nerrno(1) read if arg1 == 16",
                             "arch x86_64\ndefault allow\nerrno(1) socket if arg0 & 3 == 1",
                             "arch x86_64\ndefault allow\nkill socket if arg0 == 16\nerrno(1) socket"})
    EXPECT_THAT(warnings_of(closed), testing::IsEmpty()) << closed;
}

TEST(Lint, RulesThatNeverAct) {
  for (const char* dead :
       {"kill read\nallow read", "allow read write\nkill write read", "kill read if arg0 == 1\nallow read if arg0 == 1",
        "kill read if arg0 < 9\nallow read if arg0 == 1", "kill read if arg0 == 1 and arg0 == 2",
        "kill read if arg0 > 5 and arg0 < 5", "kill read if arg0 & 0xf0 == 0x1",
        "kill read if arg0 & 3 != 0\nallow read if arg0 == 1"})
    EXPECT_THAT(warnings_of(std::string("arch x86_64\ndefault errno(1)\n") + dead), Contains(HasSubstr("never acts")))
        << dead;
  EXPECT_THAT(warnings_of("arch x86_64\ndefault kill\nallow read if arg0 & 0xf0 == 0x1"),
              Contains(HasSubstr("'arg0 & 0xf0 == 0x1' is never true")));
  EXPECT_THAT(warnings_of("arch x86_64\ndefault kill\nallow read if arg1 >= 0"), Contains(HasSubstr("always true")));
  EXPECT_THAT(warnings_of("arch x86_64\ndefault kill\nallow read write read"), Contains(HasSubstr("stands twice")));
  for (const char* alive :
       {"kill read if arg1 == 1\nallow read", "kill read if arg1 == 1 and arg2 == 2\nallow read if arg1 == 1",
        "allow read\nkill write", "kill read if arg1 & 3 == 1\nallow read if arg1 & 1 == 1",
        "kill read if arg1 & 1 == 1 and arg1 & 2 == 2", "allow read if arg1 > 1 and arg1 != 2"})
    EXPECT_THAT(warnings_of(std::string("arch x86_64\ndefault errno(1)\n") + alive), testing::IsEmpty()) << alive;
}

// A rule of which the linter says that it never acts, and a policy without it, mean the same for random calls.
TEST(Lint, NeverActsIsTrue) {
  std::mt19937 random(5);
  const auto below = [&](std::uint32_t limit) { return static_cast<std::uint32_t>(random() % limit); };
  int dead = 0;
  for (int round = 0; round < 3000; ++round) {
    Policy policy{.architectures = {Architecture::kX86_64}, .otherwise = kAllow};
    for (std::uint32_t r = 0; r < 3; ++r) {
      Rule rule{.action = Action{0x00050001 + r}, .syscalls = {"read"}};
      for (std::uint32_t n = 1 + below(2); n > 0; --n) {
        std::vector<ArgumentTest> all;
        for (std::uint32_t m = 1 + below(2); m > 0; --m)
          all.push_back({.argument = 1,
                         .mask = below(2) == 0 ? ~std::uint64_t{0} : below(8),
                         .comparison = static_cast<Comparison>(below(6)),
                         .value = below(8)});
        rule.any_of.push_back(std::move(all));
      }
      rule.place = Span{r, r + 1};
      policy.rules.push_back(std::move(rule));
    }
    const auto made = compile_policy(policy);
    ASSERT_TRUE(made);
    for (const Diagnostic& one : made->warnings) {
      if (one.message.find("never acts") == std::string::npos) continue;
      ++dead;
      const std::uint32_t which = std::get<Span>(one.place).begin;
      for (std::uint64_t value = 0; value < 20; ++value)
        ASSERT_NE(run_filter(made->program, {.architecture = kX86Audit, .arguments = {0, value}}),
                  policy.rules[which].action)
            << write_policy(policy) << one.message << value;
    }
  }
  EXPECT_GT(dead, 100);
}

TEST(Lint, MultiplexersOfI386) {
  EXPECT_THAT(warnings_of("arch x86_64 i386\ndefault allow\nerrno(1) connect"),
              Contains(HasSubstr("behind socketcall")));
  EXPECT_THAT(warnings_of("arch i386\ndefault allow\nerrno(1) accept"), Contains(HasSubstr("behind socketcall")));
  EXPECT_THAT(warnings_of("arch i386\ndefault allow\nerrno(1) shmget"), Contains(HasSubstr("behind ipc")));
  EXPECT_THAT(warnings_of("arch i386\ndefault allow\nerrno(1) connect socketcall"), testing::IsEmpty());
  EXPECT_THAT(warnings_of("arch x86_64\ndefault allow\nerrno(1) connect"), testing::IsEmpty());
}

// What a policy means, rule by rule.
Action meaning(const Policy& policy, const SeccompCall& call) {
  for (const Architecture one : policy.architectures) {
    const bool own_bit = (call.number >= kX32Bit) == (one == Architecture::kX32);
    const bool x86 = info(one).audit == kX86Audit;
    if (info(one).audit != call.architecture || (x86 && !own_bit)) continue;
    for (const Rule& rule : policy.rules) {
      const auto named = [&](const std::string& name) { return number_of(*find_syscall(name), one) == call.number; };
      if (std::none_of(rule.syscalls.begin(), rule.syscalls.end(), named)) continue;
      const auto holds = [&](const ArgumentTest& test) {
        const std::uint64_t value = call.arguments[test.argument] & test.mask;
        switch (test.comparison) {
          case Comparison::kEqual: return value == test.value;
          case Comparison::kNotEqual: return value != test.value;
          case Comparison::kLess: return value < test.value;
          case Comparison::kLessEqual: return value <= test.value;
          case Comparison::kGreater: return value > test.value;
          case Comparison::kGreaterEqual: return value >= test.value;
        }
        return false;
      };
      const auto all_hold = [&](const std::vector<ArgumentTest>& all) {
        return std::all_of(all.begin(), all.end(), holds);
      };
      if (rule.any_of.empty() || std::any_of(rule.any_of.begin(), rule.any_of.end(), all_hold)) return rule.action;
    }
    return policy.otherwise;
  }
  return policy.mismatch;
}

TEST(Policy, ProgramsMeanWhatPoliciesSay) {
  std::mt19937 random(11);
  const auto below = [&](std::uint32_t limit) { return static_cast<std::uint32_t>(random() % limit); };
  static constexpr std::uint64_t kValues[] = {0, 1, 2, 5, 0x7fffffff, 0xffffffff, 0x100000000, 0x100000001, ~0ull};
  const auto value = [&] { return kValues[below(std::size(kValues))]; };
  const auto action = [&] { return Action{0x00050000 | below(5)}; };
  for (int round = 0; round < 150; ++round) {
    Policy policy{.otherwise = action(), .mismatch = Action{0x00050000 | 77}};
    for (const ArchitectureInfo& one : architectures())
      if (below(3) == 0) policy.architectures.push_back(one.architecture);
    if (policy.architectures.empty()) policy.architectures.push_back(Architecture::kX86_64);
    const std::uint32_t span = below(2) == 0 ? 20 : static_cast<std::uint32_t>(syscalls().size());
    const std::uint32_t rules = 1 + below(40);
    for (std::uint32_t r = 0; r < rules; ++r) {
      Rule rule{.action = action()};
      for (std::uint32_t n = 1 + below(6); n > 0; --n) rule.syscalls.emplace_back(syscalls()[below(span)].name);
      for (std::uint32_t n = below(3); n > 0; --n) {
        std::vector<ArgumentTest> all;
        for (std::uint32_t m = 1 + below(2); m > 0; --m)
          all.push_back({.argument = static_cast<std::uint8_t>(below(6)),
                         .mask = below(2) == 0 ? ~std::uint64_t{0} : value(),
                         .comparison = static_cast<Comparison>(below(6)),
                         .value = value()});
        rule.any_of.push_back(std::move(all));
      }
      policy.rules.push_back(std::move(rule));
    }
    const auto made = compile_policy(policy);
    ASSERT_TRUE(made) << made.error().message;
    ASSERT_EQ(*parse_policy(write_policy(policy)), policy);
    for (int calls = 0; calls < 400; ++calls) {
      const ArchitectureInfo& architecture = architectures()[below(6)];
      SeccompCall call{.number = below(480), .architecture = architecture.audit};
      if (below(4) == 0) call.number |= kX32Bit;
      if (below(20) == 0) call.number = below(2) == 0 ? 0xffffffff : kX32Bit - below(2);
      if (below(20) == 0) call.architecture = 0x1234;
      if (const auto number = number_of(syscalls()[below(span)], architecture.architecture); number && below(2) == 0)
        call.number = *number;
      for (std::uint64_t& argument : call.arguments) argument = value();
      ASSERT_EQ(write_action(run_filter(made->program, call)), write_action(meaning(policy, call)))
          << write_policy(policy) << "number " << call.number << " architecture " << call.architecture;
    }
  }
}

TEST(Policy, LongPoliciesStayShortToRun) {
  std::string text = "arch x86_64 i386 x32 aarch64\ndefault kill\n";
  for (const Syscall& call : syscalls())
    text +=
        std::string("errno(") + std::to_string(&call - syscalls().data() + 1) + ") " + std::string(call.name) + "\n";
  const cbpf::Checked program = compiled(text);
  EXPECT_LT(program.program().size(), 4096u);
  for (const Syscall& call : syscalls()) {
    const auto number = number_of(call, Architecture::kI386);
    if (!number) continue;
    EXPECT_EQ(run_filter(program, {.number = *number, .architecture = kI386Audit}).value & 0xffff,
              static_cast<std::uint32_t>(&call - syscalls().data() + 1));
  }
}

TEST(Policy, ListsOfLowerHalvesTakeOneLoad) {
  std::string text = "arch x86_64\ndefault errno(1)\nallow ioctl if arg1:32 == 0";
  for (int i = 1; i < 1500; ++i) text += " or arg1:32 == " + std::to_string(3 * i);
  const cbpf::Checked program = compiled(text);
  EXPECT_LT(program.program().size(), 3100u);
  for (const std::uint32_t value : {0u, 3u, 4u, 4497u, 4498u, 4500u}) {
    const SeccompCall call{.number = 16, .architecture = kX86Audit, .arguments = {0, value | 1ull << 40}};
    EXPECT_EQ(run_filter(program, call) == kAllow, value % 3 == 0 && value < 4500) << value;
  }
}

#if defined(__x86_64__)

// Runs `body` in a child under a policy; gives its wait status.
template <typename Body>
int in_child(std::string_view policy, Body body) {
  const cbpf::Checked program = compiled(policy);
  const pid_t child = ::fork();
  if (child == 0) {
    if (!install(program)) ::_exit(99);
    ::syscall(SYS_exit_group, body());
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return status;
}

TEST(Seccomp, ErrnoReachesTheCaller) {
  const int status = in_child("default allow\nerrno(EACCES) socket if arg0 == 1\nerrno(95) getppid", [] {
    if (::syscall(SYS_getppid) != -1 || errno != 95) return 1;
    if (::socket(AF_UNIX, SOCK_STREAM, 0) != -1 || errno != EACCES) return 2;
    return ::socket(AF_INET, SOCK_STREAM, 0) >= 0 ? 0 : 3;
  });
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(Seccomp, SixtyFourBitArgumentsAreCompared) {
  const int status = in_child("default allow\nerrno(7) getpid if arg2 > 0x1fffffffe and arg2 <= 0x200000001", [] {
    const auto refused = [](std::uint64_t argument) {
      return ::syscall(SYS_getpid, 0, 0, argument) == -1 && errno == 7;
    };
    if (refused(0x1fffffffe) || refused(0x200000002) || refused(0xffffffff)) return 1;
    return refused(0x1ffffffff) && refused(0x200000000) && refused(0x200000001) ? 0 : 2;
  });
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(Seccomp, UpperHalvesDoNotHideAnInt) {
  const auto probe = [] {
    // The kernel takes the lower half for the family.
    const long made = ::syscall(SYS_socket, 0x100000010, SOCK_RAW, 0);
    return made >= 0 ? 1 : errno == EACCES ? 2 : 3;
  };
  const int open = in_child("default allow\nerrno(EACCES) socket if arg0 == 16", probe);
  ASSERT_TRUE(WIFEXITED(open));
  EXPECT_EQ(WEXITSTATUS(open), 1);
  const int closed = in_child("default allow\nerrno(EACCES) socket if arg0:32 == AF_NETLINK", probe);
  ASSERT_TRUE(WIFEXITED(closed));
  EXPECT_EQ(WEXITSTATUS(closed), 2);
}

TEST(Seccomp, KillKills) {
  const int status = in_child("default allow\nkill getppid", [] { return ::syscall(SYS_getppid) > 0 ? 1 : 2; });
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGSYS);
}

TEST(Seccomp, AllowListLetsOnlyItsCallsThrough) {
  const int status = in_child("default errno(EPERM)\nallow exit_group getpid", [] {
    if (::syscall(SYS_getpid) <= 0) return 1;
    return ::syscall(SYS_getuid) == -1 && errno == EPERM ? 0 : 2;
  });
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(Seccomp, X32AndI386CallsGetMismatch) {
  // A number with x32's bit: the kernel asks the filter before it looks at its tables.
  const int x32 = in_child("arch x86_64\ndefault allow\nmismatch errno(71)",
                           [] { return ::syscall(static_cast<long>(kX32Bit | 39)) == -1 && errno == 71 ? 0 : 1; });
  EXPECT_EQ(x32, 0);
  const int i386 = in_child("arch x86_64\ndefault allow\nmismatch errno(71)", [] {
    long result = 20;  // i386 getpid
    asm volatile("int $0x80" : "+a"(result) : : "memory", "r8", "r9", "r10", "r11");
    return result == -71 || result == -ENOSYS ? 0 : 1;
  });
  // Kernels without CONFIG_IA32_EMULATION kill the process with SIGSEGV.
  EXPECT_TRUE(i386 == 0 || (WIFSIGNALED(i386) && WTERMSIG(i386) == SIGSEGV)) << i386;
}

TEST(Seccomp, FiltersOfAProcessAreReadBack) {
  const cbpf::Checked program = compiled("default allow\nerrno(1) getppid");
  const cbpf::Checked newest = compiled("default allow\nerrno(2) getuid");
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    if (!install(program) || !install(newest)) ::_exit(99);
    (void)!::write(ready[1], "x", 1);
    for (;;) ::pause();
  }
  char byte;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  const auto filters = filters_of_process(child);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  if (!filters && filters.error().system_error != 0) GTEST_SKIP() << filters.error().message;
  ASSERT_EQ(filters->size(), 2u);
  EXPECT_EQ(filters->front(), newest.program());
  EXPECT_EQ(filters->back(), program.program());
}

TEST(Seccomp, AProcessThatIsLookedAtGoesOnWithItsSignals) {
  // The child's first thread gets one signal after another: the next is sent when the last was handled.
  static std::atomic<int>* const handled =
      new (::mmap(nullptr, sizeof(std::atomic<int>), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))
          std::atomic<int>(0);
  const cbpf::Checked program = compiled("default allow");
  const pid_t child = ::fork();
  if (child == 0) {
    std::signal(SIGUSR1, [](int) { ++*handled; });
    if (!install(program)) ::_exit(99);
    const pthread_t first = ::pthread_self();
    std::thread([first] {
      for (int sent = 0;; ++sent) {
        while (*handled < sent) std::this_thread::yield();
        ::pthread_kill(first, SIGUSR1);
      }
    }).detach();
    for (;;) ::pause();
  }
  const auto goes_on = [] {
    for (int milliseconds = 0, before = *handled; milliseconds < 5000; ++milliseconds) {
      if (*handled > before + 1) return true;
      ::usleep(1000);
    }
    return false;
  };
  EXPECT_TRUE(goes_on());
  Result<std::vector<cbpf::Program>> filters = filters_of_process(child);
  const bool readable = filters.has_value();
  for (int i = 0; filters && i < 300; ++i) filters = filters_of_process(child);
  const bool alive = goes_on();
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  if (!readable && filters.error().system_error != 0) GTEST_SKIP() << filters.error().message;
  EXPECT_TRUE(filters) << filters.error().message;
  EXPECT_TRUE(alive);
}

#endif

TEST(Seccomp, OutcomesNameWhatDecides) {
  const cbpf::Checked program = compiled(
      "arch x86_64\ndefault errno(EPERM)\nallow read\nallow ioctl if arg1 == 0x5401 or arg1 == 0x5413\nkill ptrace");
  const auto outcome = [&](const char* name) {
    return write_outcome(outcome_of(program, kX86Audit, *number_of(*find_syscall(name), Architecture::kX86_64)));
  };
  EXPECT_EQ(outcome("read"), "allow");
  EXPECT_EQ(outcome("ptrace"), "kill");
  EXPECT_EQ(outcome("write"), "errno(EPERM)");
  EXPECT_EQ(outcome("ioctl"), "errno(EPERM) or allow, by arg1");
}

std::vector<Finding> findings(const cbpf::Checked& program) { return audit(program, Architecture::kX86_64); }

TEST(Audit, FindsWhatAPlainDenyListForgets) {
  // The classic mistake: numbers compared without a look at the architecture.
  const cbpf::Program deny_list{
      cbpf::make(cbpf::Opcode::kLdWordAbsolute, 0), cbpf::make_jump(cbpf::Opcode::kJeqK, 59, 0, 1),  // execve
      cbpf::make(cbpf::Opcode::kRetK, 0x80000000), cbpf::make(cbpf::Opcode::kRetK, 0x7fff0000)};
  const auto found = findings(*cbpf::check(deny_list, {.target = cbpf::Target::kSeccomp}));
  EXPECT_THAT(found,
              Contains(testing::AllOf(Field(&Finding::kind, "x32"), Field(&Finding::message, HasSubstr("execve")))));
  EXPECT_THAT(found, Contains(testing::AllOf(Field(&Finding::kind, "architecture"),
                                             Field(&Finding::message, HasSubstr("i386")))));
  EXPECT_THAT(found, Contains(Field(&Finding::message, HasSubstr("does not check it"))));
}

TEST(Audit, FindsAnX32HoleBehindAnArchitectureCheck) {
  const cbpf::Program program{
      cbpf::make(cbpf::Opcode::kLdWordAbsolute, 4),    cbpf::make_jump(cbpf::Opcode::kJeqK, kX86Audit, 1, 0),
      cbpf::make(cbpf::Opcode::kRetK, 0x80000000),     cbpf::make(cbpf::Opcode::kLdWordAbsolute, 0),
      cbpf::make_jump(cbpf::Opcode::kJeqK, 101, 0, 1),  // ptrace
      cbpf::make(cbpf::Opcode::kRetK, 0x00050001),     cbpf::make(cbpf::Opcode::kRetK, 0x7fff0000)};
  const auto found = findings(*cbpf::check(program, {.target = cbpf::Target::kSeccomp}));
  EXPECT_THAT(found, Contains(Field(&Finding::kind, "x32")));
  EXPECT_THAT(found, Not(Contains(Field(&Finding::kind, "architecture"))));
}

// 16384 paths to each call of one architecture. What was not seen is no hole.
TEST(Audit, EndsWhereThereAreManyPaths) {
  std::vector<cbpf::Instruction> code{cbpf::make(cbpf::Opcode::kLdWordAbsolute, 4),
                                      cbpf::make_jump(cbpf::Opcode::kJeqK, kX86Audit, 1, 0),
                                      cbpf::make(cbpf::Opcode::kRetK, kKillProcess.value)};
  for (std::uint32_t i = 0; i < 14; ++i) {
    code.push_back(cbpf::make(cbpf::Opcode::kLdWordAbsolute, 16 + 4 * (i % 12)));
    code.push_back(cbpf::make_jump(cbpf::Opcode::kJsetK, 1 + i / 12, 0, 1));
    code.push_back(cbpf::make(cbpf::Opcode::kLdImmediate, i + 1));
    code.push_back(cbpf::make(cbpf::Opcode::kSt, i));
  }
  code.push_back(cbpf::make(cbpf::Opcode::kLdWordAbsolute, 0));
  code.push_back(cbpf::make_jump(cbpf::Opcode::kJeqK, 1, 0, 1));
  code.push_back(cbpf::make(cbpf::Opcode::kRetK, kAllow.value));
  code.push_back(cbpf::make(cbpf::Opcode::kRetK, kKillProcess.value));
  const cbpf::Checked program = cbpf::check(cbpf::Program(std::move(code)), {.target = cbpf::Target::kSeccomp}).value();
  EXPECT_THAT(findings(program), testing::ElementsAre(Field(&Finding::kind, "incomplete")));
  EXPECT_EQ(write_outcome(outcome_of(program, kX86Audit, 1)), "allow");  // one alone is followed
}

TEST(Audit, OurOwnPoliciesHaveNoHoles) {
  for (const char* text : {"arch x86_64\ndefault errno(EPERM)\nallow read write exit_group",
                           "arch x86_64 i386 x32\ndefault errno(EPERM)\nallow read write exit_group",
                           "arch x86_64\ndefault allow\nkill ptrace process_vm_readv process_vm_writev",
                           "arch x86_64\ndefault kill\nallow openat read socket if arg0 == 3",
                           "arch x86_64\ndefault allow\nerrno(1) io_uring_setup\nerrno(1) socket if arg0:32 == 16",
                           "arch x86_64 i386\ndefault allow\nerrno(1) shmget ipc"})
    for (const Finding& finding : findings(compiled(text))) EXPECT_FALSE(finding.hole) << text << finding.message;
}

TEST(Audit, FindsWhatIsDeniedByArgumentOnly) {
  const auto found = findings(compiled("arch x86_64\ndefault allow\nerrno(EACCES) openat if arg2 & 3 != 0"));
  EXPECT_THAT(found, Contains(testing::AllOf(Field(&Finding::kind, "io_uring"),
                                             Field(&Finding::message, HasSubstr("openat (by argument)")))));
  // ioctl is restricted under its own number; x32's is 514, and lets everything through.
  const auto checked = cbpf::check(
      cbpf::Program{cbpf::make(cbpf::Opcode::kLdWordAbsolute, 4), cbpf::make_jump(cbpf::Opcode::kJeqK, kX86Audit, 1, 0),
                    cbpf::make(cbpf::Opcode::kRetK, 0x80000000), cbpf::make(cbpf::Opcode::kLdWordAbsolute, 0),
                    cbpf::make_jump(cbpf::Opcode::kJeqK, 16, 0, 3), cbpf::make(cbpf::Opcode::kLdWordAbsolute, 24),
                    cbpf::make_jump(cbpf::Opcode::kJeqK, 0x5412, 0, 1), cbpf::make(cbpf::Opcode::kRetK, 0x00050001),
                    cbpf::make(cbpf::Opcode::kRetK, 0x7fff0000)},
      {.target = cbpf::Target::kSeccomp});
  ASSERT_TRUE(checked);
  EXPECT_THAT(findings(*checked), Contains(testing::AllOf(Field(&Finding::kind, "x32"),
                                                          Field(&Finding::message, HasSubstr("ioctl (by argument)")))));
}

TEST(Audit, FindsWaysAround) {
  const auto found = findings(compiled("arch x86_64\ndefault allow\nerrno(EPERM) openat clone"));
  EXPECT_THAT(found, Contains(Field(&Finding::kind, "io_uring")));
  EXPECT_THAT(found, Contains(Field(&Finding::kind, "clone3")));
  EXPECT_THAT(found, Contains(Field(&Finding::kind, "open-default")));
}

TEST(Audit, FindsSiblings) {
  const struct {
    const char* policy;
    const char* open;
  } cases[] = {
      {"errno(1) openat if arg2 & 3 != 0", "open, openat2, creat, open_by_handle_at"},
      {"kill execve", "execveat"},
      {"kill clone clone3", "fork, vfork"},
      {"kill fork", "clone, clone3"},
      {"kill kill", "tkill, tgkill"},
      {"kill sendto", "sendmsg, sendmmsg"},
      {"kill ptrace", "process_vm_readv, process_vm_writev"},
      {"kill unlink", "unlinkat"},
      {"kill mount", "fsmount, move_mount"},
      {"kill setuid", "setreuid"},
      {"kill chmod fchmod fchmodat", "fchmodat2"},
      {"kill write", "writev, pwrite64"},
  };
  for (const auto& one : cases)
    EXPECT_THAT(findings(compiled(std::string("arch x86_64\ndefault allow\n") + one.policy)),
                Contains(testing::AllOf(Field(&Finding::kind, "family"), Field(&Finding::hole, true),
                                        Field(&Finding::message, HasSubstr(one.open)))))
        << one.policy;
  for (const char* closed :
       {"default allow\nkill execve execveat", "default allow\nkill clone if arg0 & 0x10000000 != 0",
        "default kill\nallow execve openat", "default errno(1)\nallow open\nerrno(1) openat"})
    EXPECT_THAT(findings(compiled(std::string("arch x86_64\n") + closed)),
                Not(Contains(Field(&Finding::kind, "family"))))
        << closed;
  EXPECT_THAT(
      findings(compiled("arch x86_64\ndefault allow\nkill clone if arg0 & CLONE_NEWUSER != 0\nerrno(38) clone3")),
      Contains(Field(&Finding::kind, "namespaces")));
}

TEST(Audit, FindsMultiplexers) {
  const auto of_i386 = [](std::string_view text) { return audit(compiled(text), Architecture::kI386); };
  EXPECT_THAT(of_i386("arch i386\ndefault allow\nkill connect"), Contains(Field(&Finding::kind, "multiplexer")));
  EXPECT_THAT(of_i386("arch i386\ndefault allow\nkill shmget if arg0 == 1"),
              Contains(Field(&Finding::kind, "multiplexer")));
  EXPECT_THAT(of_i386("arch i386\ndefault allow\nkill connect socketcall"),
              Not(Contains(Field(&Finding::kind, "multiplexer"))));
  EXPECT_THAT(
      findings(compiled("arch x86_64 i386\ndefault allow\nkill connect")),
      Contains(testing::AllOf(Field(&Finding::kind, "multiplexer"), Field(&Finding::message, HasSubstr("connect")))));
}

TEST(Audit, FindsUpperHalves) {
  for (const char* open : {"default allow\nkill socket if arg0 == 16", "default kill\nallow socket if arg0 != 16",
                           "default allow\nkill socket if arg0 == 3 and arg1 == 4",
                           "default allow\nkill ioctl if arg1 <= 9", "default allow\nkill openat if arg0 == AT_FDCWD"})
    EXPECT_THAT(findings(compiled(std::string("arch x86_64\n") + open)), Contains(Field(&Finding::kind, "upper-half")))
        << open;
  EXPECT_THAT(findings(compiled("arch x86_64\ndefault allow\nkill socket if arg0 == 16")),
              Contains(Field(&Finding::message, HasSubstr("socket with arg0 = 0x100000010"))));
  for (const char* closed :
       {"default allow\nkill socket if arg0:32 == 16", "default kill\nallow socket if arg0 == 16",
        "default allow\nkill mmap if arg1 == 16", "default kill\nallow openat if arg0 == AT_FDCWD"})
    EXPECT_THAT(findings(compiled(std::string("arch x86_64\n") + closed)),
                Not(Contains(Field(&Finding::kind, "upper-half"))))
        << closed;
}

TEST(Audit, JudgesAllFiltersTogether) {
  std::vector<cbpf::Checked> filters{compiled("arch x86_64\ndefault allow\nkill execveat"),
                                     compiled("arch x86_64\ndefault allow\nerrno(1) execve")};
  EXPECT_THAT(findings(filters[1]), Contains(Field(&Finding::kind, "family")));
  EXPECT_THAT(audit(filters, Architecture::kX86_64), Not(Contains(Field(&Finding::kind, "family"))));
  filters.push_back(compiled("arch x86_64\ndefault allow\nkill socket if arg0 == 16"));
  EXPECT_THAT(audit(filters, Architecture::kX86_64),
              Contains(testing::AllOf(Field(&Finding::kind, "upper-half"),
                                      Field(&Finding::filters, testing::ElementsAre(std::size_t{2})))));
  filters.push_back(compiled("arch x86_64\ndefault allow\nkill socket"));
  EXPECT_THAT(audit(filters, Architecture::kX86_64), Not(Contains(Field(&Finding::kind, "upper-half"))));
}

// What one of them does is not known; that the others let a call through tells nothing.
TEST(Audit, ClaimsNothingOfWhatIsNotKnown) {
  const cbpf::Program computed{cbpf::make(cbpf::Opcode::kLdWordAbsolute, 16), cbpf::make(cbpf::Opcode::kRetA, 0)};
  const std::vector<cbpf::Checked> filters{cbpf::check(computed, {.target = cbpf::Target::kSeccomp}).value(),
                                           compiled("arch x86_64\ndefault allow\nkill execve")};
  EXPECT_THAT(audit(filters, Architecture::kX86_64),
              testing::ElementsAre(testing::AllOf(Field(&Finding::kind, "incomplete"),
                                                  Field(&Finding::filters, testing::ElementsAre(std::size_t{0})))));
}

// The most severe of all, and of equals the newest: as the kernel has it for this process.
TEST(Seccomp, TheKernelTakesTheMostSevereAction) {
  const char* actions[] = {"errno(1)", "errno(2)", "allow", "log", "trace(5)", "trap"};
  for (const char* older : actions)
    for (const char* newer : actions) {
      const cbpf::Checked first = compiled(std::string("default allow\n") + older + " getppid");
      const cbpf::Checked second = compiled(std::string("default allow\n") + newer + " getppid");
      const std::vector<cbpf::Checked> filters{second, first};
      const Outcome outcome = outcome_of(filters, {.number = SYS_getppid, .architecture = kX86Audit});
      ASSERT_EQ(outcome.actions.size(), 1u);
      const std::uint32_t kind = outcome.actions.front().value >> 16;
      const std::uint32_t data = outcome.actions.front().value & 0xffff;
      const pid_t child = ::fork();
      if (child == 0) {
        if (!install(first) || !install(second)) ::_exit(99);
        const long made = ::syscall(SYS_getppid);
        ::_exit(made >= 0 ? 100 : errno);
      }
      int status = 0;
      ASSERT_EQ(::waitpid(child, &status, 0), child);
      const int wanted = kind == 5 ? static_cast<int>(data) : kind == 0x7ff0 ? ENOSYS : 100;
      if (kind == 3) EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) << older << " " << newer;
      else EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == wanted) << older << " " << newer << " " << status;
    }
}

TEST(Syscalls, NumbersAreThoseOfThisMachine) {
  const Architecture native = native_architecture();
  EXPECT_EQ(number_of(*find_syscall("getppid"), native), static_cast<std::uint32_t>(SYS_getppid));
  EXPECT_EQ(number_of(*find_syscall("openat"), native), static_cast<std::uint32_t>(SYS_openat));
  EXPECT_EQ(number_of(*find_syscall("clone3"), native), static_cast<std::uint32_t>(SYS_clone3));
  EXPECT_EQ(syscall_name(SYS_mmap, native), "mmap");
  EXPECT_EQ(syscall_name(0x3ffffff0, native), "");
}

}  // namespace
}  // namespace weir::kernel
