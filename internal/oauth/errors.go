package oauth

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"
)

// protocolError is an error answer of RFC 6749 section 5.2 with a code of the
// Microsoft identity platform (AADSTS).
type protocolError struct {
	status int
	kind   string // error
	code   int
	text   string
	wait   time.Duration // before another try, if not 0
}

func errInput(text string) *protocolError {
	return &protocolError{status: http.StatusBadRequest, kind: "invalid_request", code: 90013,
		text: "Invalid input received from the user. " + text}
}

func errMissing(parameter string) *protocolError {
	return &protocolError{status: http.StatusBadRequest, kind: "invalid_request", code: 900144,
		text: "The request body must contain the following parameter: '" + parameter + "'."}
}

func errTenant(name string) *protocolError {
	return &protocolError{status: http.StatusBadRequest, kind: "invalid_request", code: 90002,
		text: "Tenant '" + shown(name) + "' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud."}
}

func errClient(code int, text string) *protocolError {
	return &protocolError{status: http.StatusUnauthorized, kind: "invalid_client", code: code, text: text}
}

func errScope(code int, text string) *protocolError {
	return &protocolError{status: http.StatusBadRequest, kind: "invalid_scope", code: code, text: text}
}

// shown is a caller's value as messages repeat it: short and printable.
func shown(s string) string {
	const limit = 128
	return strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return '?'
		}
		return c
	}, s[:min(len(s), limit)])
}

// errorBody is the answer of a failed request.
type errorBody struct {
	Error         string    `json:"error"`
	Description   string    `json:"error_description"`
	Codes         []int     `json:"error_codes"`
	Timestamp     string    `json:"timestamp"`
	TraceID       uuid.UUID `json:"trace_id"`
	CorrelationID uuid.UUID `json:"correlation_id"`
	URI           string    `json:"error_uri"`
}

func (x *exchange) fail(e *protocolError) {
	x.refused, x.outcome = e, e.kind
	stamp := x.now.UTC().Format("2006-01-02 15:04:05Z")
	if e.wait > 0 {
		x.w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(e.wait.Seconds()))))
	}
	if _, _, basic := x.r.BasicAuth(); basic && e.status == http.StatusUnauthorized { // RFC 6749 section 5.2
		x.w.Header().Set("WWW-Authenticate", `Basic realm="`+x.a.tenant.String()+`", charset="UTF-8"`)
	}
	x.reply(e.status, "no-store, no-cache", errorBody{
		Error:         e.kind,
		Description:   x.describe(e),
		Codes:         []int{e.code},
		Timestamp:     stamp,
		TraceID:       x.trace,
		CorrelationID: x.correlation,
		URI:           "https://login.microsoftonline.com/error?code=" + strconv.Itoa(e.code),
	})
}

// unavailable answers a failure of the store, which is for the operator.
func (x *exchange) unavailable(err error) {
	x.failure = err
	x.fail(&protocolError{status: http.StatusServiceUnavailable, kind: "temporarily_unavailable", code: 90033,
		text: "A transient error has occurred. Please try again.", wait: 5 * time.Second})
}
