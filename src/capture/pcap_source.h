// Readers of the two formats, over an open stream whose first bytes told the format.
#pragma once

#include <memory>
#include <string>

#include <weir/capture/source.h>

#include "capture/byte_stream.h"

namespace weir::capture {

bool is_pcap(ByteSpan start);
Result<std::unique_ptr<Source>> open_pcap(std::unique_ptr<Window> window, Compression compression, std::string name);

bool is_pcapng(ByteSpan start);
Result<std::unique_ptr<Source>> open_pcapng(std::unique_ptr<Window> window, Compression compression, std::string name);

// The same over bytes in memory, for tests: any format, not compressed.
Result<std::unique_ptr<Source>> open_memory(ByteSpan bytes, std::string name);

// The longest record that a link type may have.
std::uint32_t longest_record(packet::LinkType type);

// Link types have a few old numbers.
packet::LinkType canonical_link_type(std::uint32_t number);

}  // namespace weir::capture
