package sqlstore

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// The write-ahead log holds what was committed last and is not in the file yet: a header, then frames, each a page with the
// salts of the header and a checksum over everything before it. SQLite takes the first frame that does not fit for the end,
// because a power failure leaves a transaction that nobody was told of half written. If a page of the log is spoiled that is
// silent loss: of everything behind it, though it was durable and clients have their 202. The two can be told apart: a
// transaction is begun after the one before it was durable, so that behind a half-written one there is none.
// Source: https://www.sqlite.org/fileformat2.html#walformat.
const (
	walHeader   = 32
	frameHeader = 24
	walMagic    = 0x377f0682 // the lowest bit is that the checksums are big-endian
)

// inspectLog finds damage in the write-ahead log that is followed by transactions that were durable. It cannot find what is
// wrong with the last one. No log is a sound one.
func inspectLog(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	return readLog(bufio.NewReaderSize(f, 1<<20))
}

func readLog(r io.Reader) error {
	header := make([]byte, walHeader)
	switch _, err := io.ReadFull(r, header); {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil
	case err != nil:
		return fmt.Errorf("%w: %w", errPage, err)
	}
	magic, page := binary.BigEndian.Uint32(header), binary.BigEndian.Uint32(header[8:])
	sum := checksum{order: binary.LittleEndian}
	if magic&1 == 1 {
		sum.order = binary.BigEndian
	}
	sum.add(header[:24])
	if magic&^1 != walMagic || page < 512 || page > 65536 || page&(page-1) != 0 || !sum.is(header[24:]) {
		return unlessEmpty(header, r)
	}
	frame := make([]byte, frameHeader+page)
	fits, ended := true, false // the frames up to here; a transaction has ended behind the first that did not
	for n := 1; ; n++ {
		switch _, err := io.ReadFull(r, frame); {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		case err != nil:
			return fmt.Errorf("%w: frame %d of the write-ahead log: %w", errPage, n, err)
		}
		ours := string(frame[8:16]) == string(header[16:24])
		if fits {
			sum.add(frame[:8])
			sum.add(frame[frameHeader:])
			fits = ours && sum.is(frame[16:])
		}
		switch {
		case fits, !ours: // what is not ours is left from before the log was begun anew, or spoiled
		case ended:
			return fmt.Errorf("%w: a frame before frame %d of the write-ahead log", errPage, n)
		default:
			ended = binary.BigEndian.Uint32(frame[4:]) != 0
		}
	}
}

// unlessEmpty is damage, unless nothing was ever written there.
func unlessEmpty(header []byte, r io.Reader) error {
	rest, err := io.ReadAll(io.LimitReader(r, 1<<20))
	if err != nil {
		return fmt.Errorf("%w: the write-ahead log: %w", errPage, err)
	}
	for _, b := range [][]byte{header, rest} {
		for _, c := range b {
			if c != 0 {
				return fmt.Errorf("%w: the first of the write-ahead log", errPage)
			}
		}
	}
	return nil
}

// checksum is that of the log, which goes on from frame to frame.
type checksum struct {
	order  binary.ByteOrder
	s1, s2 uint32
}

func (c *checksum) add(b []byte) {
	for ; len(b) >= 8; b = b[8:] {
		c.s1 += c.order.Uint32(b) + c.s2
		c.s2 += c.order.Uint32(b[4:]) + c.s1
	}
}

func (c *checksum) is(stored []byte) bool {
	return binary.BigEndian.Uint32(stored) == c.s1 && binary.BigEndian.Uint32(stored[4:]) == c.s2
}
