package graph

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"strings"
)

// cursor is where a list goes on: what a $skiptoken holds. Which of its fields mean what is the list's business.
type cursor struct {
	before, after int64
	text          string // a sort key
}

// cursorScope condenses what a list is of: a token fits only the list that it came from.
func cursorScope(parts ...string) [8]byte {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return [8]byte(sum[:8])
}

// token writes the cursor. It is checked against slips, not against forgery: all it could reach is what the caller
// may read anyway.
func (c cursor) token(scope [8]byte) string {
	b := binary.AppendVarint(nil, c.before)
	b = binary.AppendVarint(b, c.after)
	b = append(b, c.text...)
	sum := checksum(scope, b)
	return base64.RawURLEncoding.EncodeToString(append(sum[:], b...))
}

// parseCursor reads a token that this list gave out; "" is the zero cursor.
func parseCursor(token string, scope [8]byte) (cursor, error) {
	if token == "" {
		return cursor{}, nil
	}
	invalid := &problem{status: http.StatusBadRequest, code: codeBadRequest,
		message: "The skip token is not valid for this request: follow @odata.nextLink as it is, or start again without $skiptoken."}
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) < 8 || checksum(scope, b[8:]) != [8]byte(b[:8]) {
		return cursor{}, invalid
	}
	b = b[8:]
	before, n := binary.Varint(b)
	if n <= 0 {
		return cursor{}, invalid
	}
	after, m := binary.Varint(b[n:])
	if m <= 0 || before < 0 || after < 0 {
		return cursor{}, invalid
	}
	return cursor{before, after, string(b[n+m:])}, nil
}

func checksum(scope [8]byte, b []byte) [8]byte {
	sum := sha256.Sum256(append(append([]byte("induct skiptoken 1\x00"), scope[:]...), b...))
	return [8]byte(sum[:8])
}
