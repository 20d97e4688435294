package oauth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

// The cost of a password's hash, as the OWASP password storage cheat sheet has
// it for argon2id (RFC 9106): 19 MiB, two passes.
const (
	hashMemory  = 19 * 1024 // KiB
	hashPasses  = 2
	hashThreads = 1
	hashLength  = 32

	minPassword   = 12  // characters
	maxPassword   = 256 // bytes
	hashesAtATime = 2
)

// CheckPassword reports what is wrong with a password that somebody chooses:
// fewer than 12 characters, more than 256 bytes, or that the user name says it
// already. No kinds of characters are asked for (NIST SP 800-63B section
// 3.1.1.2).
func CheckPassword(password, upn string) error {
	local, _, _ := strings.Cut(strings.ToLower(upn), "@")
	switch {
	case utf8.RuneCountInString(password) < minPassword:
		return fmt.Errorf("the password must have at least %d characters", minPassword)
	case len(password) > maxPassword:
		return fmt.Errorf("the password must have at most %d bytes", maxPassword)
	case strings.EqualFold(password, upn) || len(local) >= minPassword/2 && strings.Contains(strings.ToLower(password), local):
		return errors.New("the password must not contain the user name")
	case strings.Count(password, password[:1]) == len(password):
		return errors.New("the password must not be one character again and again")
	}
	return nil
}

// HashPassword returns what is stored of a password: its argon2id hash with a
// random salt and the parameters, as a PHC string.
func HashPassword(password string) string {
	salt := make([]byte, saltLength)
	rand.Read(salt)
	sum := argon2.IDKey([]byte(password), salt, hashPasses, hashMemory, hashThreads, hashLength)
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, hashMemory, hashPasses, hashThreads,
		base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(sum))
}

// matchesPassword reports whether hash is one of HashPassword for the password,
// after as much work if it is none.
func matchesPassword(hash, password string) bool {
	var version, memory, passes, threads uint32
	var rest string
	n, err := fmt.Sscanf(hash, "$argon2id$v=%d$m=%d,t=%d,p=%d$%s", &version, &memory, &passes, &threads, &rest)
	salt, sum, _ := strings.Cut(rest, "$")
	saltBytes, saltErr := base64.RawStdEncoding.DecodeString(salt)
	sumBytes, sumErr := base64.RawStdEncoding.DecodeString(sum)
	known := n == 5 && errors.Join(err, saltErr, sumErr) == nil && version == argon2.Version && len(sumBytes) == hashLength &&
		memory <= 1<<20 && passes-1 < 16 && threads-1 < 16
	if !known {
		memory, passes, threads, saltBytes, sumBytes = hashMemory, hashPasses, hashThreads, make([]byte, saltLength), make([]byte, hashLength)
	}
	got := argon2.IDKey([]byte(password), saltBytes, passes, memory, uint8(threads), hashLength)
	return subtle.ConstantTimeCompare(got, sumBytes) == 1 && known
}

var errBusy = errors.New("oauth: too many people are signing in at this moment")

// hashSlot waits until the caller may compute a password's hash: a few do at a
// time, because each takes a processor and 19 MiB. The caller calls done after.
func (a *Authority) hashSlot(ctx context.Context) (done func(), err error) {
	wait := time.NewTimer(10 * time.Second)
	defer wait.Stop()
	select {
	case a.hashing <- struct{}{}:
		return func() { <-a.hashing }, nil
	case <-wait.C:
		return nil, errBusy
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// opens reports whether the password is that of the account, which may be nil.
func (c *Account) opens(password string) bool {
	hash := ""
	if c != nil {
		hash = c.Password
	}
	return matchesPassword(hash, password[:min(len(password), maxPassword+1)])
}
