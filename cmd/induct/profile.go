package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"runtime/trace"

	"github.com/spf13/pflag"
)

// profiles are the files that a run of the service writes about itself, for `go tool pprof` and `go tool trace`;
// "" for none.
type profiles struct{ cpu, mem, block, mutex, trace string }

func (p *profiles) flags(f *pflag.FlagSet) {
	f.StringVar(&p.cpu, "cpuprofile", "", "write a CPU profile of the service to this `FILE` at the end")
	f.StringVar(&p.mem, "memprofile", "", "write a profile of its memory to this `FILE` at the end")
	f.StringVar(&p.block, "blockprofile", "", "write a profile of where it waits to this `FILE` at the end")
	f.StringVar(&p.mutex, "mutexprofile", "", "write a profile of contended locks to this `FILE` at the end")
	f.StringVar(&p.trace, "trace", "", "write an execution trace to this `FILE`; it grows by megabytes a second")
}

// args returns the flags that make another process write the profiles, with suffix after each name.
func (p *profiles) args(suffix string) (args []string, err error) {
	for _, f := range []struct{ flag, path string }{
		{"--cpuprofile", p.cpu}, {"--memprofile", p.mem}, {"--blockprofile", p.block}, {"--mutexprofile", p.mutex}, {"--trace", p.trace},
	} {
		if f.path == "" {
			continue
		}
		path, err := filepath.Abs(f.path + suffix)
		if err != nil {
			return nil, err
		}
		args = append(args, f.flag, path)
	}
	return args, nil
}

// during runs fn and profiles it.
func (p *profiles) during(fn func() error) (err error) {
	if p.cpu != "" {
		f, err := os.Create(p.cpu)
		if err != nil {
			return fmt.Errorf("--cpuprofile: %w", err)
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return fmt.Errorf("--cpuprofile: %w", err)
		}
		defer pprof.StopCPUProfile()
	}
	if p.trace != "" {
		f, err := os.Create(p.trace)
		if err != nil {
			return fmt.Errorf("--trace: %w", err)
		}
		defer f.Close()
		if err := trace.Start(f); err != nil {
			return fmt.Errorf("--trace: %w", err)
		}
		defer trace.Stop()
	}
	if p.block != "" {
		runtime.SetBlockProfileRate(10_000) // one sample for each 10 µs of waiting
	}
	if p.mutex != "" {
		runtime.SetMutexProfileFraction(10)
	}
	err = fn()
	runtime.GC() // the memory profile is as of the last collection
	for _, f := range []struct{ name, path string }{{"heap", p.mem}, {"block", p.block}, {"mutex", p.mutex}} {
		err = errors.Join(err, writeProfile(f.name, f.path))
	}
	return err
}

func writeProfile(name, path string) error {
	if path == "" {
		return nil
	}
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("profile of %s: %w", name, err)
	}
	return errors.Join(pprof.Lookup(name).WriteTo(f, 0), f.Close())
}
