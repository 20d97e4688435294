package oauth

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// The pages are plain on purpose: no script but the one line that sends a form
// on, no request to anywhere else, light or dark as the browser wants it.
var (
	//go:embed page.html
	pageText string
	//go:embed page.css
	pageStyle string

	pages = template.Must(template.New("page").Parse(pageText))
)

// sendScript sends the form of the page that brings an answer to a client.
const sendScript = "document.forms[0].submit()"

// page is what the template shows.
type page struct {
	Kind    string // signin, setup, account, notice or post
	Title   string
	Message string       // an error, or the text of a notice
	Action  template.URL // where the form goes: this server, or a redirect URI that has been checked
	CSRF    string
	Request string // the authorization request to go on with
	Name    string
	Client  string
	Fields  url.Values // of an answer that is posted

	Style  template.CSS
	Script template.JS
}

// show writes a page. to is where else than to this server its form may lead, as
// a Content-Security-Policy source.
func (x *exchange) show(status int, p page, to string) {
	p.Style = template.CSS(pageStyle)
	script := ""
	if p.Kind == "post" {
		p.Script, script = sendScript, "; script-src "+inlineSource(sendScript)
	}
	var body bytes.Buffer
	if err := pages.Execute(&body, p); err != nil { // the templates' own fault, if ever
		x.failure = err
		status = http.StatusInternalServerError
		body.Reset()
	}
	h := x.w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", strings.TrimSpace(fmt.Sprintf("default-src 'none'; style-src %s%s; form-action 'self' %s", inlineSource(pageStyle), script, to))+
		"; base-uri 'none'; frame-ancestors 'none'")
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("x-ms-request-id", x.trace.String())
	x.status = status
	x.w.WriteHeader(status)
	x.w.Write(body.Bytes())
}

// signInPage shows the form to sign in, for q or for nothing in particular.
func (x *exchange) signInPage(status int, q *authorization, name, message string) {
	p := page{Kind: "signin", Title: "Sign in", Message: message, Action: template.URL(x.a.own("login")), CSRF: x.formKey(), Name: name}
	to := ""
	if q != nil {
		p.Request, p.Client = q.raw, q.client.DisplayName
		to = cspSource(q.redirect) // browsers hold form-action against redirects, too
		if name == "" {
			p.Name = q.hint
		}
	}
	x.show(status, p, to)
}

func (x *exchange) setupPage(status int, code, name, message string) {
	x.show(status, page{Kind: "setup", Title: "Make the first administrator", Message: message, CSRF: x.formKey(), Name: name,
		Action: template.URL(x.a.own("setup?code=" + url.QueryEscape(code)))}, "")
}

func (x *exchange) accountPage(p *Person) {
	x.show(http.StatusOK, page{Kind: "account", Title: "You are signed in", Message: p.DisplayName, Name: p.UPN, Action: template.URL(x.a.own("oauth2/v2.0/logout"))}, "")
}

func (x *exchange) noticePage(status int, title, message string) {
	x.show(status, page{Kind: "notice", Title: title, Message: message}, "")
}

// postPage has the browser post an answer to a client (OAuth 2.0 Form Post
// Response Mode).
func (x *exchange) postPage(to string, answer url.Values) {
	x.show(http.StatusOK, page{Kind: "post", Title: "Signing in", Action: template.URL(to), Fields: answer}, cspSource(to))
}

// errorPage tells the person what the client has to be told and cannot be.
func (x *exchange) errorPage(e *protocolError) {
	x.refused, x.outcome = e, e.kind
	x.noticePage(e.status, "This does not work", x.describe(e))
}

func (x *exchange) brokenPage(err error) {
	x.failure = err
	x.w.Header().Set("Retry-After", "5")
	x.errorPage(&protocolError{status: http.StatusServiceUnavailable, kind: "temporarily_unavailable", code: 90033, text: "A transient error has occurred. Please try again."})
}

// describe is an error as clients and people are told it.
func (x *exchange) describe(e *protocolError) string {
	return fmt.Sprintf("AADSTS%d: %s Trace ID: %s Correlation ID: %s Timestamp: %s", e.code, e.text, x.trace, x.correlation, x.now.UTC().Format(time.DateTime+"Z"))
}

// sentence is an error's first line as a sentence.
func sentence(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	first, n := utf8.DecodeRuneInString(line)
	return string(unicode.ToUpper(first)) + line[n:] + "."
}

func stdBase64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
