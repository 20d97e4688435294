package expr

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
)

// random returns the source of randomness of one call for one record: the same each time that the record is evaluated
// with the same seed, and another for each call of each program that has a salt of its own.
func (s *site) random(ctx *Context) *rand.Rand {
	in := make([]byte, 16, 64)
	binary.LittleEndian.PutUint64(in, ctx.Seed)
	binary.LittleEndian.PutUint64(in[8:], uint64(s.index))
	return rand.New(rand.NewChaCha8(sha256.Sum256(append(in, s.salt...))))
}

func guid(s *site, ctx *Context) (Value, error) {
	r := s.random(ctx)
	hi, lo := r.Uint64(), r.Uint64()
	hi = hi&^0xf000 | 0x4000
	lo = lo&^(0xc<<60) | 8<<60
	return Text(fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", hi>>32, hi>>16&0xffff, hi&0xffff, lo>>48, lo&0xffff_ffff_ffff)), nil
}

const maxRandom = 256

// The classes of characters of a password, in the order of the parameters of RandomString.
var randomClasses = [...]string{
	"0123456789",
	"~!@#$%^&*_-+=`|\\(){}[]:;\"'<>,.?/",
	"ABCDEFGHIJKLMNOPQRSTUVWXYZ",
	"abcdefghijklmnopqrstuvwxyz",
}

func buildRandomString(s *site) (evalFunc, error) {
	var numbers [5]int64
	written := true
	for i := range numbers {
		text, ok := s.constant(i)
		written = written && ok
		numbers[i], _ = integer(Text(text))
	}
	if written {
		if err := checkRandom(numbers); err != nil {
			return nil, s.errorf(0, "%v", err)
		}
	}
	return func(ctx *Context) (Value, error) {
		var numbers [5]int64
		for i := range numbers {
			var err error
			if numbers[i], err = s.integer(ctx, i); err != nil {
				return Value{}, err
			}
		}
		avoid, _, err := s.text(ctx, 5)
		if err == nil {
			err = checkRandom(numbers)
		}
		if err != nil {
			return Value{}, err
		}
		return randomString(s.random(ctx), numbers, avoid)
	}, nil
}

func checkRandom(n [5]int64) error {
	sum := int64(0)
	for _, least := range n[1:] {
		if least < 0 || least > maxRandom {
			return fmt.Errorf("a minimum is %d; it must be from 0 to %d", least, maxRandom)
		}
		sum += least
	}
	if n[0] < 1 || n[0] > maxRandom {
		return fmt.Errorf("the length is %d; it must be from 1 to %d", n[0], maxRandom)
	}
	if n[0] < sum {
		return fmt.Errorf("the length %d is less than the sum of the minimums, %d", n[0], sum)
	}
	return nil
}

// randomString meets the minimums, then fills up from the classes that have one (from small
// letters and digits if none has), then shuffles.
func randomString(r *rand.Rand, n [5]int64, avoid string) (Value, error) {
	var out []byte
	fill, spare := "", ""
	for i, class := range randomClasses {
		class = strings.Map(func(c rune) rune {
			if strings.ContainsRune(avoid, c) {
				return -1
			}
			return c
		}, class)
		if n[i+1] > 0 {
			fill += class
		}
		if i == 0 || i == 3 {
			spare += class
		}
		for range n[i+1] {
			if class == "" {
				return Value{}, errors.New("CharactersToAvoid leaves no character of a class that has a minimum")
			}
			out = append(out, class[r.IntN(len(class))])
		}
	}
	if fill == "" {
		fill = spare
	}
	for int64(len(out)) < n[0] {
		if fill == "" {
			return Value{}, errors.New("CharactersToAvoid leaves no character to use")
		}
		out = append(out, fill[r.IntN(len(fill))])
	}
	r.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return Text(string(out)), nil
}
