// Whole files into memory, bounded: what a directory that somebody else filled may hold (a FIFO, a device, a
// folder, a file of many gigabytes) is an error that names it, and never a wait. And how many may be open.
//
// Threads: pure.
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"

namespace nextgate {

// The bytes of a regular file (or a link to one) of at most `bytes_max`. kNotFound: there is none, or it may not
// be read; kDataLoss: it is something else than a file, or too large.
Result<std::string> ReadFile(const std::string& path, int64_t bytes_max);

// Lets this process open as many files and sockets as the system's hard limit says: a server has a
// connection for each stream, and what a shell allows is often 1,024. Threads: before others start.
void RaiseOpenFilesLimit();

}  // namespace nextgate
