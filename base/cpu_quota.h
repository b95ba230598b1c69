// How many processors this process may use: a container's CPU quota counts as its memory limit does, or threads
// would be stopped by the kernel for most of every period.
//
// Threads: pure.
#pragma once

#include <string>

namespace nextgate {

// Processors of the affinity mask, or fewer where the control group's quota (cpu.max of version 2,
// cpu.cfs_quota_us of version 1) allows less; a part of a processor counts as a whole one. At least 1.
// `cgroup_root` is for tests.
int UsableProcessors(const std::string& cgroup_root = "/sys/fs/cgroup");

// The quota alone, rounded up; 0: there is none.
int ProcessorQuota(const std::string& cgroup_root);

}  // namespace nextgate
