// Readers of the two formats, over a stream whose first bytes told the format.
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

// Tells the format by the first bytes; `capacity` is the window's, small ones are for tests.
Result<std::unique_ptr<Source>> open_over(std::unique_ptr<ByteStream> stream, std::string name,
                                          std::size_t capacity = Window::kCapacity);

// The link type of a number in a file: a few systems write their own numbers for some types.
packet::LinkType link_type_of(std::uint32_t number);

// The snap length of a header's field: 0 and nonsense mean that packets are not cut.
std::uint32_t snap_length_of(std::uint32_t field, packet::LinkType type);

// An error when the file of the window's mapping became shorter.
Status check_mapping(const Window& window, const std::string& name);

// Lets the last packet of the batch have its host-order fields in the order of this host (see pseudo_header.h).
void convert_last(RecordBatch& batch, const Interface& interface);

// The warning for a packet of `captured` bytes at `offset` that a snap length should have cut.
Diagnostic longer_than_snap_length(const Source& source, std::uint32_t captured, std::uint32_t snap_length,
                                   std::uint64_t offset, std::string hint);

}  // namespace weir::capture
