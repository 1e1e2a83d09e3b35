// Kinds of programs, a bit each: by their type, and by where they attach where that matters. Exports the bits.
#pragma once

#include "verify/context.h"

namespace weir::verify {

inline constexpr Families kSocket = 1u << 0;  // socket filters
inline constexpr Families kTc = 1u << 1;
inline constexpr Families kCgroup = 1u << 2;  // cgroup_skb
inline constexpr Families kXdpFamily = 1u << 3;
inline constexpr Families kDevice = 1u << 4;
inline constexpr Families kTracing = 1u << 5;
inline constexpr Families kSkSkb = 1u << 6;
inline constexpr Families kLwt = 1u << 7;  // lwt_in, lwt_out
inline constexpr Families kLwtXmit = 1u << 8;
inline constexpr Families kLwtSegment = 1u << 9;
inline constexpr Families kDissector = 1u << 10;
inline constexpr Families kSockCreate = 1u << 11;  // cgroup_sock, by where they attach
inline constexpr Families kPostBind4 = 1u << 12;
inline constexpr Families kPostBind6 = 1u << 13;
inline constexpr Families kAddress = 1u << 14;   // cgroup_sock_addr, wherever
inline constexpr Families kAddress4 = 1u << 15;  // at IPv4 places
inline constexpr Families kAddress6 = 1u << 16;
inline constexpr Families kSend4 = 1u << 17;  // at sendmsg
inline constexpr Families kSend6 = 1u << 18;
inline constexpr Families kSockOps = 1u << 19;
inline constexpr Families kSkMsg = 1u << 20;
inline constexpr Families kReuseport = 1u << 21;
inline constexpr Families kLookup = 1u << 22;
inline constexpr Families kSysctl = 1u << 23;
inline constexpr Families kOption = 1u << 24;  // cgroup_sockopt
inline constexpr Families kGetOption = 1u << 25;
inline constexpr Families kSetOption = 1u << 26;
inline constexpr Families kNetfilter = 1u << 27;
inline constexpr Families kPerf = 1u << 28;             // perf_event, which are tracing too
inline constexpr Families kProbe = 1u << 29;            // kprobe, likewise
inline constexpr Families kLwtIn = 1u << 30;            // of the two that kLwt says
inline constexpr Families kConnect = 1u << 31;          // cgroup_sock_addr at connect
inline constexpr Families kResult = Families{1} << 32;  // whose result get_retval tells
inline constexpr Families kAll = ~Families{0};

inline constexpr Families kLwtAny = kLwt | kLwtXmit | kLwtSegment;
inline constexpr Families kBuffers = kSocket | kTc | kCgroup | kSkSkb | kLwtAny;  // that see the fields of __sk_buff
inline constexpr Families kMarkers = kTc | kCgroup | kLwtAny;                     // that write mark
// The bits that say more of a kind, beside the one that says which it is.
inline constexpr Families kPlaces =
    kPerf | kProbe | kLwtIn | kConnect | kResult | kAddress4 | kAddress6 | kSend4 | kSend6 | kGetOption | kSetOption;
inline constexpr Families kKinds = kAll & ~kPlaces;
inline constexpr Families kSocks = kSockCreate | kPostBind4 | kPostBind6;  // cgroup_sock, wherever
inline constexpr Families kStorage =
    kCgroup | kDevice | kSocks | kAddress | kSockOps | kSysctl | kOption;  // that have a storage of their own

}  // namespace weir::verify
