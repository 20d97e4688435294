package graph

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/klauspost/compress/gzip"

	"induct/internal/provision"
	"induct/internal/scim"
)

// bulkUpload accepts an upload (synchronizationJob: bulkUpload). 202 means that it is durable.
func (c *call) bulkUpload() error {
	if err := c.scimContent(); err != nil {
		return err
	}
	job, missing := c.knownJob()
	if missing == nil {
		wait, err := c.s.limiter.allow(c.r.Context(), caller{job.PK, c.principal.AppID}, c.received)
		if err != nil {
			return err
		}
		if wait > 0 {
			return &problem{status: http.StatusTooManyRequests, code: "TooManyRequests", message: "Please retry again later.", retryAfter: wait}
		}
	}
	body, err := c.body()
	if err != nil {
		return err
	}
	operations, err := scim.ParseBulk(body, scim.Limits{})
	if err != nil {
		return invalidFormat(err.Error())
	}
	if missing != nil {
		return missing
	}
	accepted, err := c.s.Service.Accept(c.r.Context(), provision.Upload{
		Job: job, ClientRequestID: c.client, BodyHash: sha256.Sum256(body), Operations: toOperations(operations), Received: c.received,
	})
	if err != nil {
		return err
	}
	c.event.upload = accepted.ID.String()
	h := c.w.Header()
	h.Set("Location", c.root()+"/auditLogs/provisioning/?$filter=jobid%20eq%20'"+job.ID+"'")
	h.Set("X-Induct-Upload-Id", accepted.ID.String())
	return c.none(http.StatusAccepted)
}

func toOperations(parsed []scim.Operation) []provision.Operation {
	ops := make([]provision.Operation, len(parsed))
	for i, op := range parsed {
		ops[i] = provision.Operation{BulkID: op.BulkID, Delete: op.Method == http.MethodDelete, Anchor: op.Anchor, Data: op.Data}
	}
	return ops
}

// scimContent checks the media type.
func (c *call) scimContent() error {
	sent := c.r.Header.Get("Content-Type")
	if sent == "" {
		return invalidFormat("the Content-Type header is missing: send application/scim+json")
	}
	if media, _, _ := strings.Cut(sent, ";"); !strings.EqualFold(strings.TrimSpace(media), "application/scim+json") {
		return invalidFormat(fmt.Sprintf("the Content-Type is '%s': send application/scim+json", clip(sent)))
	}
	return nil
}

// body reads the request body, inflated, and no more of it than MaxBody.
func (c *call) body() ([]byte, error) {
	most := c.s.MaxBody
	if c.r.ContentLength > most {
		return nil, c.tooLarge()
	}
	var from io.Reader = http.MaxBytesReader(c.w.ResponseWriter, c.r.Body, most)
	zipped := false
	switch encoding := strings.ToLower(strings.TrimSpace(c.r.Header.Get("Content-Encoding"))); encoding {
	case "", "identity":
	case "gzip", "x-gzip":
		z, err := gzip.NewReader(from)
		if err != nil {
			return nil, c.unreadable(err, true)
		}
		defer z.Close()
		from, zipped = io.LimitReader(z, most+1), true
	default:
		return nil, &problem{status: http.StatusUnsupportedMediaType, code: "UnsupportedMediaType",
			message: fmt.Sprintf("The Content-Encoding '%s' is not supported: send gzip or none.", clip(encoding))}
	}
	var b bytes.Buffer
	if n := c.r.ContentLength; n > 0 && !zipped {
		b.Grow(int(n) + bytes.MinRead)
	}
	if _, err := b.ReadFrom(from); err != nil {
		return nil, c.unreadable(err, zipped)
	}
	if int64(b.Len()) > most {
		return nil, c.tooLarge()
	}
	return b.Bytes(), nil
}

func (c *call) tooLarge() *problem {
	return &problem{status: http.StatusRequestEntityTooLarge, code: "RequestEntityTooLarge",
		message: fmt.Sprintf("The body is larger than %d bytes: send less in one request.", c.s.MaxBody)}
}

func (c *call) unreadable(err error, zipped bool) *problem {
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return c.tooLarge()
	case zipped:
		return invalidFormat("the body is not valid gzip, which the Content-Encoding header says it is")
	}
	return invalidFormat("the body could not be read to its end")
}
