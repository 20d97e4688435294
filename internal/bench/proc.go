package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// Machine says where it was measured.
type Machine struct {
	CPUs   int    `json:"cpus"` // that the process may use
	Model  string `json:"cpu_model,omitempty"`
	Memory int64  `json:"memory_bytes,omitempty"`
	OS     string `json:"os"`
	Arch   string `json:"arch"`
	Kernel string `json:"kernel,omitempty"`
	Go     string `json:"go"`
}

func thisMachine() Machine {
	m := Machine{CPUs: runtime.GOMAXPROCS(0), OS: runtime.GOOS, Arch: runtime.GOARCH, Go: runtime.Version()}
	release, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	m.Kernel = strings.TrimSpace(string(release))
	m.Model = procLine("/proc/cpuinfo", "model name")
	m.Memory = kibibytes(procLine("/proc/meminfo", "MemTotal"))
	return m
}

// procLine returns the value of the first `name: value` line of a file in /proc; "" if there is none.
func procLine(path, name string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		if strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// kibibytes reads a value such as `1024 kB` as bytes.
func kibibytes(value string) int64 {
	digits, _, _ := strings.Cut(value, " ")
	n, _ := strconv.ParseInt(digits, 10, 64)
	return n << 10
}

// usage is what a process has used up; zero where the system does not tell.
type usage struct {
	cpu     float64 // seconds, of all threads, in user and kernel mode
	written int64   // bytes handed to the disk
}

const ticks = 100 // USER_HZ: the unit of times in /proc, the same on all architectures of Linux that Go knows

// used reads what a process has used (proc(5)); pid 0 is one that nobody can look at.
func used(pid int) (u usage) {
	if pid == 0 {
		return u
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u
	}
	// The name of the program, in parentheses, may hold anything; utime and stime are the 12th and 13th field after it.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) > 12 {
		user, _ := strconv.ParseFloat(fields[11], 64)
		system, _ := strconv.ParseFloat(fields[12], 64)
		u.cpu = (user + system) / ticks
	}
	u.written, _ = strconv.ParseInt(procLine(fmt.Sprintf("/proc/%d/io", pid), "write_bytes"), 10, 64)
	return u
}

// busy is processor time of the whole machine.
type busy struct{ others, all float64 }

func (b *busy) add(o busy) { b.others, b.all = b.others+o.others, b.all+o.all }

// share returns how much of the machine others used, 0 to 1.
func (b busy) share() float64 {
	if b.all <= 0 {
		return 0
	}
	return max(0, b.others/b.all)
}

// watched is the machine at a moment.
type watched struct {
	pids              []int
	own, working, all float64
}

// watch begins to watch what others than these processes use.
func watch(pids ...int) watched {
	w := watched{pids: pids}
	for _, pid := range pids {
		w.own += used(pid).cpu
	}
	stat, _ := os.ReadFile("/proc/stat")
	line, _, _ := strings.Cut(string(stat), "\n")
	// user nice system idle iowait irq softirq steal; what follows is counted in user already.
	fields := strings.Fields(strings.TrimPrefix(line, "cpu"))
	for i, field := range fields[:min(8, len(fields))] {
		n, _ := strconv.ParseFloat(field, 64)
		if w.all += n / ticks; i != 3 && i != 4 {
			w.working += n / ticks
		}
	}
	return w
}

// stop returns what others have used since.
func (w watched) stop() busy {
	now := watch(w.pids...)
	return busy{others: now.working - w.working - (now.own - w.own), all: now.all - w.all}
}

// resetPeak forgets the peak of a process's memory, where the system can (Linux: clear_refs 5).
func resetPeak(pid int) {
	if pid != 0 {
		os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
	}
}

// peakRSS returns the most memory that a process has held since its peak was reset, in bytes; 0 if the system does
// not tell.
func peakRSS(pid int) int64 {
	if pid == 0 {
		return 0
	}
	return kibibytes(procLine(fmt.Sprintf("/proc/%d/status", pid), "VmHWM"))
}

// diskUse returns the size of the database files in a data directory.
func diskUse(dir string) (n int64) {
	files, _ := filepath.Glob(filepath.Join(dir, "*.db*"))
	for _, f := range files {
		if info, err := os.Stat(f); err == nil {
			n += info.Size()
		}
	}
	return n
}
