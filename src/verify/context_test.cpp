// What kinds of programs see: packets against their ends, the fields of contexts, results, helpers and licenses. That
// the tables are the kernel's, tests/context_agreement_test.cpp asks the kernel.
#include "verify/verify_cases.h"

namespace weir::verify {
namespace {

const std::string kData = "r2 = *(u32 *)(r1 + 0)\nr3 = *(u32 *)(r1 + 4)\n";  // of XDP

TEST(Packet, IsComparedWithItsEnd) {
  const auto xdp = as(ProgramType::kXdp);
  const std::string tail = "\nr0 = *(u16 *)(r2 + 12)\nexit\nr0 = 2\nexit";
  const std::string end = "r4 = r2\nr4 += 14\n";
  accepts(kData + end + "if r4 > r3 goto +2" + tail, xdp);
  accepts(kData + end + "if r3 < r4 goto +2" + tail, xdp);
  accepts(kData + end + "if r4 >= r3 goto +2" + tail, xdp);
  accepts(kData + end + "if r3 >= r4 goto +2\nr0 = 0\nexit" + "\nr0 = *(u16 *)(r2 + 12)\nexit", xdp);
  refuses(kData + end + "if r4 < r3 goto +2" + tail, Rule::kPacketBounds, xdp);
  const Refusal refusal = refuses(kData + "r0 = *(u16 *)(r2 + 12)\nexit", Rule::kPacketBounds, xdp);
  EXPECT_EQ(refusal.suggestion, "compare r2 + 14 with data_end and leave when it is greater");
  EXPECT_EQ(refusal.text, "r0 = *(u16 *)(r2 + 12)");
  ASSERT_EQ(refusal.known.size(), 1u);
  EXPECT_EQ(refusal.known[0], "r2 is packet, nothing from there on known to be there");
  refuses(kData + end + "if r4 > r3 goto +2\nr0 = *(u16 *)(r2 + 13)\nexit\nr0 = 2\nexit", Rule::kPacketBounds, xdp);
  refuses(kData + end + "if r4 > r3 goto +2\nr0 = *(u16 *)(r2 - 1)\nexit\nr0 = 2\nexit", Rule::kPacketBounds, xdp);
}

TEST(Packet, OffsetsThatVary) {
  const auto xdp = as(ProgramType::kXdp);
  const std::string tail = "r2 += r0\nr4 = r2\nr4 += 4\nif r4 > r3 goto +2\nr0 = *(u32 *)(r2 + 0)\nexit\nr0 = 2\nexit";
  const std::string head = "r6 = r1\ncall get_prandom_u32\nr1 = r6\n" + kData;
  accepts(head + "r0 &= 255\n" + tail, xdp);
  refuses(head + tail, Rule::kPointerArithmetic, xdp);
  // The comparison of one pointer says nothing of another with another offset.
  refuses(head + "r0 &= 255\nr5 = r2\nr5 += r0\n" + tail.substr(0, tail.find("r0 = *(u32")) +
              "r0 = *(u32 *)(r5 + 0)\nexit\nr0 = 2\nexit",
          Rule::kPacketBounds, xdp);
}

TEST(Packet, CallsThatMoveItVoidPointers) {
  const auto xdp = as(ProgramType::kXdp);
  const std::string head = "r6 = r1\n" + kData + "r4 = r2\nr4 += 14\nif r4 > r3 goto +6\nr7 = r2\nr1 = r6\nr2 = 0\n";
  const Refusal refusal =
      refuses(head + "call xdp_adjust_head\nr0 = *(u8 *)(r7 + 0)\nexit\nr0 = 2\nexit", Rule::kNotAPointer, xdp);
  EXPECT_NE(refusal.suggestion.find("load data and data_end again"), std::string::npos);
  accepts(head + "call xdp_get_buff_len\nr0 = *(u8 *)(r7 + 0)\nexit\nr0 = 2\nexit", xdp);
}

TEST(Packet, OnlySomeProgramsSeeIt) {
  refuses("r2 = *(u32 *)(r1 + 76)\nr0 = 0\nexit", Rule::kContextAccess, as(ProgramType::kSocketFilter));
  accepts("r2 = *(u32 *)(r1 + 76)\nr0 = 0\nexit", as(ProgramType::kSchedCls));
  accepts("r6 = r1\nr0 = *(u8 *)skb[12]\nexit", as(ProgramType::kSocketFilter));
  refuses("r0 = *(u8 *)skb[12]\nexit", Rule::kUninitialised, as(ProgramType::kSocketFilter));
  refuses("r6 = r1\nr0 = *(u8 *)skb[12]\nexit", Rule::kContextAccess, as(ProgramType::kXdp));
}

TEST(Context, HasFields) {
  accepts("r0 = *(u32 *)(r1 + 0)\nexit", as(ProgramType::kSocketFilter));
  accepts("r0 = *(u16 *)(r1 + 2)\nexit", as(ProgramType::kSocketFilter));
  refuses("r0 = *(u16 *)(r1 + 1)\nexit", Rule::kContextAccess, as(ProgramType::kSocketFilter));
  refuses("r0 = *(u64 *)(r1 + 0)\nexit", Rule::kContextAccess, as(ProgramType::kSocketFilter));
  refuses("r0 = *(u32 *)(r1 + 400)\nexit", Rule::kContextAccess, as(ProgramType::kSocketFilter));
  refuses("*(u32 *)(r1 + 8) = 1\nr0 = 0\nexit", Rule::kContextAccess, as(ProgramType::kSocketFilter));
  accepts("*(u32 *)(r1 + 8) = 1\nr0 = 0\nexit", as(ProgramType::kSchedCls));
  refuses("r1 += 4\nr0 = *(u32 *)(r1 + 0)\nexit", Rule::kContextAccess, as(ProgramType::kSchedCls));
  accepts("r0 = *(u64 *)(r1 + 8)\nexit", as(ProgramType::kTracepoint));
  refuses("r0 = *(u64 *)(r1 + 0)\nexit", Rule::kContextAccess, as(ProgramType::kTracepoint));
  refuses("*(u64 *)(r1 + 8) = 0\nr0 = 0\nexit", Rule::kContextAccess, as(ProgramType::kTracepoint));
  refuses("r0 = *(u64 *)(r1 + 8)\nexit", Rule::kContextAccess, as(ProgramType::kSkLookup));
  refuses("r0 = *(u32 *)(r1 + 8)\nexit", Rule::kContextAccess, as(ProgramType::kLircMode2));
}

TEST(Context, PointersToStructuresOfTheKernelAreNotFollowed) {
  const Refusal refusal =
      refuses("r0 = *(u64 *)(r1 + 8)\nr0 = 0\nexit", Rule::kContextAccess, as(ProgramType::kNetfilter));
  EXPECT_NE(refusal.message.find("not followed here"), std::string::npos);
  EXPECT_NE(refusal.suggestion.find("weir prog load"), std::string::npos);
}

TEST(Context, ConstantsAreThoseThatTheKernelTakes) {
  for (const char* text : {"r0 = 1\nr0 /= 0\nexit", "r0 = 1\nr0 <<= 64\nexit", "w0 = 1\nw0 <<= 32\nexit"}) {
    refuses(text, Rule::kStructure, as(ProgramType::kXdp));
    accepts(text);
    const auto checked = ebpf::check(program_of(text));
    ASSERT_TRUE(checked);
    EXPECT_FALSE(verify(*checked, as(ProgramType::kKprobe))) << text;
    EXPECT_TRUE(verify(*checked)) << text;
  }
}

TEST(Context, SocketsAreFollowed) {
  const auto tc = as(ProgramType::kSchedCls);
  const std::string head = "r6 = r1\nr1 = *(u64 *)(r1 + 168)\n", end = "\nr0 = 0\nexit";
  refuses(head + "r0 = *(u32 *)(r1 + 4)" + end, Rule::kNull, tc);
  accepts(head + "if r1 == 0 goto +1\nr0 = *(u32 *)(r1 + 4)" + end, tc);
  refuses(head + "if r1 == 0 goto +1\nr0 = *(u32 *)(r1 + 8)" + end, Rule::kContextAccess, tc);
  accepts(head + "if r1 == 0 goto +3\ncall sk_fullsock\nif r0 == 0 goto +1\nr0 = *(u32 *)(r0 + 8)" + end, tc);
  refuses(head + "if r1 == 0 goto +1\ncall sk_release" + end, Rule::kArgument, tc);
  refuses(head + "if r1 == 0 goto +1\n*(u32 *)(r1 + 4) = 1" + end, Rule::kContextAccess, tc);
  refuses(head + "r1 += 8" + end, Rule::kNull, tc);
  refuses(head + "if r1 == 0 goto +1\nr1 += 8" + end, Rule::kPointerArithmetic, tc);
}

TEST(Context, SocketsThatWereLookedUpAreReleased) {
  const auto tc = as(ProgramType::kSchedCls);
  const std::string look =
      "r6 = r1\n*(u64 *)(r10 - 16) = 0\n*(u32 *)(r10 - 8) = 0\nr2 = r10\nr2 += -16\nr3 = 12\nr4 = -1\nr5 = 0\n"
      "call sk_lookup_tcp\n";
  const std::string end = "\nr0 = 0\nexit";
  const Refusal refusal = refuses(look + end, Rule::kHeld, tc);
  EXPECT_NE(refusal.message.find("the socket looked up at instruction 8"), std::string::npos) << refusal.message;
  accepts(look + "if r0 == 0 goto +2\nr1 = r0\ncall sk_release" + end, tc);
  refuses(look + "r1 = r0\ncall sk_release" + end, Rule::kNull, tc);
  // What a helper makes of it may be null while the socket itself is held, and is void when it is released.
  const std::string part = "if r0 == 0 goto out\nr7 = r0\nr1 = r0\ncall tcp_sock\nr8 = r0\n";
  accepts(look + part + "r1 = r7\ncall sk_release\nout: r0 = 0\nexit", tc);
  refuses(look + part + "if r8 == 0 goto out\nr1 = r7\ncall sk_release\nout: r0 = 0\nexit", Rule::kHeld, tc);
  refuses(look + part + "r1 = r7\ncall sk_release\nif r8 == 0 goto out\nr0 = *(u32 *)(r8 + 0)\nout: r0 = 0\nexit",
          Rule::kNotAPointer, tc);
}

TEST(Context, DependsOnWhereTheProgramAttaches) {
  const auto refused_at = [](ebpf::AttachType where, const std::string& text) {
    ebpf::Program program = program_of(text);
    program.type = ProgramType::kCgroupSockAddr;
    program.attach_type = where;
    program.has_attach_type = true;
    return examine(program, as(program.type)).refusal.has_value();
  };
  const std::string port = "*(u32 *)(r1 + 24) = 7\nr0 = 1\nexit", four = "r2 = *(u32 *)(r1 + 4)\nr0 = 1\nexit";
  EXPECT_FALSE(refused_at(ebpf::AttachType::kCgroupInet4Connect, port));
  EXPECT_FALSE(refused_at(ebpf::AttachType::kCgroupInet4Connect, four));
  EXPECT_TRUE(refused_at(ebpf::AttachType::kCgroupInet6Connect, four));
  EXPECT_FALSE(refused_at(ebpf::AttachType::kCgroupInet4Bind, "r0 = 3\nexit"));
  EXPECT_TRUE(refused_at(ebpf::AttachType::kCgroupInet4Connect, "r0 = 3\nexit"));
  EXPECT_TRUE(refused_at(ebpf::AttachType::kCgroupUdp4Recvmsg, "r0 = 0\nexit"));
}

TEST(Context, ResultsHaveARange) {
  accepts("r0 = 1\nexit", as(ProgramType::kCgroupSkb));
  EXPECT_EQ(refuses("r0 = 2\nexit", Rule::kReturn, as(ProgramType::kCgroupSkb)).required, "r0 of at most 1");
  refuses("call get_prandom_u32\nexit", Rule::kReturn, as(ProgramType::kSockOps));
  accepts("call get_prandom_u32\nr0 &= 1\nexit", as(ProgramType::kSockOps));
}

TEST(Context, LicensesKeepHelpersFromPrograms) {
  const std::string text = "*(u64 *)(r10 - 8) = 0\nr1 = r10\nr1 += -8\nr2 = 8\ncall trace_printk\nr0 = 0\nexit";
  accepts(".license \"GPL\"\n" + text, as(ProgramType::kXdp));
  accepts(text, as(ProgramType::kXdp));  // weir loads a program that names no license as GPL
  const Refusal refusal = refuses(".license \"Proprietary\"\n" + text, Rule::kHelper, as(ProgramType::kXdp));
  EXPECT_NE(refusal.message.find("'Proprietary'"), std::string::npos);
  accepts(".license \"Proprietary\"\n" + text);  // no kernel, no rule
}

TEST(Helpers, ThatAreNotFollowedSayWhy) {
  EXPECT_NE(refuses("call spin_lock\nexit", Rule::kHelper, as(ProgramType::kXdp)).message.find("locks"),
            std::string::npos);
  EXPECT_NE(refuses("call timer_init\nexit", Rule::kHelper, as(ProgramType::kXdp)).message.find("timers"),
            std::string::npos);
}

}  // namespace
}  // namespace weir::verify
