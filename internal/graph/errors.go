package graph

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"induct/internal/graph/odata"
	"induct/internal/mapping"
	"induct/internal/oauth"
	"induct/internal/provision"
)

// Codes of Graph's error object (Microsoft Graph error responses and resource types).
const (
	codeBadRequest        = "BadRequest"
	codeRequestBadRequest = "Request_BadRequest"
	codeUnsupportedQuery  = "Request_UnsupportedQuery"
	codeDenied            = "Authorization_RequestDenied"
	codeResourceNotFound  = "ResourceNotFound"
	codeObjectNotFound    = "Request_ResourceNotFound"
	codeUnknown           = "UnknownError"
	codeSameKey           = "Request_MultipleObjectsWithSameKeyValue"
)

// Problem texts that clients may compare.
const (
	textDenied    = "Insufficient privileges to complete the operation."
	textFormat    = "Invalid Data Format"
	textQueueFull = "The bucket that stores the ingested data is full, please wait for the synchronization service to process the ingested data and retry this request."
	textMethod    = "Specified HTTP method is not allowed for the request target."
)

// problem is an answer that is an error object.
type problem struct {
	status     int
	code       string
	message    string
	retryAfter time.Duration // for 429 and 503; rounded up to whole seconds
	allow      []string      // for 405
	challenge  bool          // send WWW-Authenticate
	details    []errorDetail // each thing that is wrong, if there are several or it has a place
}

func (p *problem) Error() string { return p.code + ": " + p.message }

func badRequest(format string, args ...any) *problem {
	return &problem{status: http.StatusBadRequest, code: codeBadRequest, message: fmt.Sprintf(format, args...)}
}

func invalidFormat(reason string) *problem {
	return &problem{status: http.StatusBadRequest, code: codeBadRequest, message: textFormat + ": " + reason}
}

func unsupportedQuery(format string, args ...any) *problem {
	return &problem{status: http.StatusBadRequest, code: codeUnsupportedQuery, message: fmt.Sprintf(format, args...)}
}

func invalidFilter(err error) *problem {
	return badRequest("Invalid filter clause: %s", err.Error())
}

// notSupported is the answer for what Graph has and Induct has not.
func notSupported(message string) *problem {
	return &problem{status: http.StatusNotImplemented, code: "NotImplemented", message: message}
}

// notFound is the answer for a resource of the synchronization API that is not there.
func notFound(what, id string) *problem {
	return &problem{status: http.StatusNotFound, code: codeResourceNotFound, message: fmt.Sprintf("Resource not found: there is no %s '%s'.", what, clip(id))}
}

// conflict is the answer for what the state of a resource does not allow.
func conflict(message string) *problem {
	return &problem{status: http.StatusConflict, code: "Conflict", message: message}
}

// objectNotFound is the directory's answer for an object that is not there.
func objectNotFound(id string) *problem {
	return &problem{status: http.StatusNotFound, code: codeObjectNotFound,
		message: fmt.Sprintf("Resource '%s' does not exist or one of its queried reference-property objects are not present.", clip(id))}
}

func unknownSegment(text string) *problem {
	return badRequest("Resource not found for the segment '%s'.", clip(text))
}

// denied is the answer of most resources to a token without the right permission.
func denied([]string) *problem {
	return &problem{status: http.StatusForbidden, code: codeDenied, message: textDenied}
}

// deniedLogs is the provisioning log's.
func deniedLogs(roles []string) *problem {
	return &problem{status: http.StatusForbidden, code: "Authentication_MSGraphPermissionMissing",
		message: "The principal does not have required Microsoft Graph permission(s): " + strings.Join(roles, ", ") +
			" to call this API. For more information about Microsoft Graph permissions, please visit https://learn.microsoft.com/graph/permissions-overview"}
}

// deniedSync is the synchronization API's, which is seen to answer with 401; clients that retry a 403 fail at once.
func deniedSync(lacking []string) *problem {
	return &problem{status: http.StatusUnauthorized, code: codeUnknown, challenge: true,
		message: "The token has none of the permissions or directory roles that allow this: " + strings.Join(lacking, ", ") +
			". Grant one of them and ask for a new token."}
}

// clip bounds what an error message repeats of a request.
func clip(s string) string { return clipTo(s, 128) }

// clipTo bounds a text to that many bytes, and a sign that there was more.
func clipTo(s string, most int) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// asProblem says how an error is answered. Internal errors keep their text to the log.
func asProblem(err error) *problem {
	var p *problem
	var filter *odata.Error
	var token *oauth.TokenError
	var schema *mapping.SchemaError
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &filter):
		return badRequest("%s", filter.Error())
	case errors.As(err, &token):
		return &problem{status: http.StatusUnauthorized, code: "InvalidAuthenticationToken", message: token.Message, challenge: true}
	case errors.As(err, &schema):
		return invalidSchema(schema)
	case errors.Is(err, errors.ErrUnsupported):
		return notSupported("The job's target cannot do this.")
	case errors.Is(err, provision.ErrQueueFull):
		return &problem{status: http.StatusInternalServerError, code: "InternalServerError", message: textQueueFull}
	case errors.Is(err, provision.ErrNoSpace):
		return &problem{status: http.StatusServiceUnavailable, code: "ServiceUnavailable", retryAfter: time.Minute,
			message: "The service cannot store the data: it is out of space. Nothing was accepted; retry this request later."}
	case errors.Is(err, provision.ErrDamaged), errors.Is(err, oauth.ErrBadKey):
		return &problem{status: http.StatusServiceUnavailable, code: "ServiceUnavailable", retryAfter: 5 * time.Minute,
			message: "The service's database is damaged, and what is asked for cannot be read or stored. Nothing was accepted. Who operates the service must restore a backup; retry this request after that."}
	case errors.Is(err, provision.ErrUnavailable):
		return &problem{status: http.StatusServiceUnavailable, code: "ServiceUnavailable", retryAfter: 5 * time.Second,
			message: "The service's database does not answer. Retry this request later, with the same client-request-id: it may have been carried out."}
	case errors.Is(err, provision.ErrBusy), errors.Is(err, provision.ErrFenced):
		return &problem{status: http.StatusServiceUnavailable, code: "ServiceUnavailable", retryAfter: time.Second,
			message: "Others change the same all the time, so that nothing was done. Retry this request."}
	case errors.Is(err, provision.ErrUnavailable), errors.Is(err, provision.ErrFenced):
		return &problem{status: http.StatusServiceUnavailable, code: "ServiceUnavailable", retryAfter: 2 * time.Second,
			message: "The service's database does not answer now, and what was asked for may have been done or not. Repeat this request; an upload with the same client-request-id is not taken twice."}
	case errors.Is(err, provision.ErrRunning):
		return conflict("The job runs: pause it with POST …/jobs/{id}/pause, then repeat this request.")
	case errors.Is(err, provision.ErrNotFound):
		return &problem{status: http.StatusNotFound, code: codeResourceNotFound, message: "Resource not found."}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &problem{status: http.StatusServiceUnavailable, code: "ServiceUnavailable", retryAfter: time.Second,
			message: "The request was ended before it was answered. Retry it."}
	}
	return internal()
}

func internal() *problem {
	return &problem{status: http.StatusInternalServerError, code: "InternalServerError", message: "An internal error has occurred. The request-id leads to it in the server's log."}
}

// errorBody is Graph's error envelope.
type errorBody struct {
	Error struct {
		Code    string        `json:"code"`
		Message string        `json:"message"`
		Details []errorDetail `json:"details,omitempty"`
		Inner   innerError    `json:"innerError"`
	} `json:"error"`
}

// errorDetail is one thing that is wrong; target is its place in the request.
type errorDetail struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Target  string `json:"target"`
}

type innerError struct {
	Code            string `json:"code,omitempty"`
	Message         string `json:"message,omitempty"`
	Status          string `json:"status,omitempty"`
	Date            string `json:"date"` // without a zone
	RequestID       string `json:"request-id"`
	ClientRequestID string `json:"client-request-id"`
}

// fail answers c with an error object.
func (c *call) fail(err error) {
	p := asProblem(err)
	c.event.err = err
	h := c.w.Header()
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64((p.retryAfter+time.Second-1)/time.Second), 10))
	}
	if p.allow != nil {
		h.Set("Allow", strings.Join(p.allow, ", "))
	}
	if p.challenge {
		h.Set("WWW-Authenticate", c.challenge())
	}
	var body errorBody
	body.Error.Code, body.Error.Message, body.Error.Details = p.code, p.message, p.details
	body.Error.Inner = innerError{
		Date:      c.received.UTC().Format("2006-01-02T15:04:05"),
		RequestID: c.requestID, ClientRequestID: c.clientID(),
	}
	if p.status == http.StatusTooManyRequests {
		body.Error.Inner.Code, body.Error.Inner.Status, body.Error.Inner.Message = "429", "429", "Please retry after"
	}
	c.json(p.status, body)
}

// challenge is the WWW-Authenticate header of a 401.
func (c *call) challenge() string {
	root := strings.TrimSuffix(c.s.AuthorityURL, "/")
	if root == "" {
		root = c.s.base(c.r)
	}
	root = strings.Map(func(r rune) rune { // the Host is the caller's: keep it inside the quoted string
		if r == '"' || r == '\\' || r < ' ' {
			return -1
		}
		return r
	}, root)
	return fmt.Sprintf(`Bearer realm="", authorization_uri="%s/common/oauth2/authorize", client_id="00000003-0000-0000-c000-000000000000"`, root)
}
