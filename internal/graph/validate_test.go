package graph

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Shapes that are not in Graph's metadata, by the names that pathSchema gives them.
const (
	shapeNone   = "none"   // no content and no Content-Type
	shapeNumber = "number" // …/$count
	shapeXML    = "xml"    // $metadata
	shapeOwn    = "own"    // a resource of ours
	shapeOwns   = "coll.own"
)

// ownPaths are the answers that paths.json does not name, with the pattern of the resource that each is of. What a path
// may not answer with success is not listed: an answer without a row fails the test that asked for it.
func ownPaths() []pathSchema {
	const job = "servicePrincipals/[^/]+/synchronization/jobs/[^/]+"
	const sync = "(servicePrincipals|applications)/[^/]+/synchronization"
	const template = sync + "/templates/[^/]+"
	const registered = "(servicePrincipals|applications)/"
	const federated = "applications/[^/]+/federatedIdentityCredentials"
	const assigned = "servicePrincipals/[^/]+/(appRoleAssignments|appRoleAssignedTo)"
	const granted = "(servicePrincipals/[^/]+/)?oauth2PermissionGrants"
	const schema = "(" + job + "|" + template + ")/schema"
	return []pathSchema{
		{"POST", job + "/bulkUpload", shapeNone, 202},
		{"DELETE", job, shapeNone, 204},
		{"POST", job + "/(start|pause|restart)", shapeNone, 204},
		{"POST", "servicePrincipals/[^/]+/synchronization/jobs(/[^/]+)?/validateCredentials", shapeNone, 204},
		{"POST", sync + "/acquireAccessToken", shapeNone, 204},
		{"PUT", sync + "/secrets", shapeNone, 204},
		{"GET", sync + "/secrets", "coll.synchronizationSecretKeyStringValuePair", 200},
		{"GET", sync, "synchronization", 200},
		{"GET", sync + "/templates", "coll.synchronizationTemplate", 200},
		{"GET", template, "synchronizationTemplate", 200},
		{"GET", schema, "synchronizationSchema", 200},
		{"PUT", schema, shapeNone, 204},
		{"PATCH", schema, shapeNone, 204},
		{"DELETE", schema, shapeNone, 204},
		{"POST", schema + "/parseExpression", "parseExpressionResponse", 200},
		{"GET", schema + "/functions", "coll.attributeMappingFunctionSchema", 200},
		{"GET", schema + "/filterOperators", "coll.filterOperatorSchema", 200},
		{"GET", schema + "/directories", "coll.directoryDefinition", 200},
		{"POST", schema + "/directories", "directoryDefinition", 201},
		{"GET", schema + "/directories/[^/]+", "directoryDefinition", 200},
		{"PUT", schema + "/directories/[^/]+", shapeNone, 204},
		{"PATCH", schema + "/directories/[^/]+", shapeNone, 204},
		{"DELETE", schema + "/directories/[^/]+", shapeNone, 204},
		{"POST", schema + "/directories/[^/]+/discover", "directoryDefinition", 200},
		{"POST", job + "/schema/(preview|validate)", shapeOwn, 200},
		{"GET", "induct/retention", shapeOwns, 200},
		{"GET", job + "/uploads/[^/]+", shapeOwn, 200},
		{"GET", job + "/uploads/[^/]+/operations", shapeOwns, 200},
		{"GET", job + "/(unreadPaths|heldChanges|escrows|notifications|objectConnections)", shapeOwns, 200},
		{"GET", job + "/(heldChanges|objectConnections)/[^/]+", shapeOwn, 200},
		{"POST", job + "/heldChanges/(approve|reject)", shapeOwn, 200},
		{"PUT", job + "/objectConnections/[^/]+", shapeOwn, 200},
		{"DELETE", job + "/objectConnections/[^/]+", shapeNone, 204},
		{"GET", "auditLogs/directoryAudits", shapeOwns, 200},
		{"GET", "induct/retention", shapeOwns, 200},
		{"GET", "auditLogs/directoryAudits/[^/]+", shapeOwn, 200},
		{"PATCH", registered + "[^/]+", shapeNone, 204},
		{"DELETE", registered + "[^/]+", shapeNone, 204},
		{"POST", registered + "[^/]+/removePassword", shapeNone, 204},
		{"GET", registered + "[^/]+/(owners|ownedObjects|memberOf)", "coll.directoryObject", 200},
		{"GET", registered + "[^/]+/owners/\\$ref", "coll.reference", 200},
		{"POST", registered + "[^/]+/owners/\\$ref", shapeNone, 204},
		{"DELETE", registered + "[^/]+/owners/[^/]+/\\$ref", shapeNone, 204},
		{"GET", federated, "coll.federatedIdentityCredential", 200},
		{"POST", federated, "federatedIdentityCredential", 201},
		{"GET", federated + "/[^/]+", "federatedIdentityCredential", 200},
		{"PATCH", federated + "/[^/]+", "federatedIdentityCredential", 201},
		{"PATCH", federated + "/[^/]+", shapeNone, 204},
		{"DELETE", federated + "/[^/]+", shapeNone, 204},
		{"GET", "applications/[^/]+/extensionProperties", "coll.extensionProperty", 200},
		{"POST", "applications/[^/]+/extensionProperties", "extensionProperty", 201},
		{"GET", "applications/[^/]+/extensionProperties/[^/]+", "extensionProperty", 200},
		{"DELETE", "applications/[^/]+/extensionProperties/[^/]+", shapeNone, 204},
		{"POST", "directoryObjects/getAvailableExtensionProperties", "coll.extensionProperty", 200},
		{"GET", assigned, "coll.appRoleAssignment", 200},
		{"POST", assigned, "appRoleAssignment", 201},
		{"GET", assigned + "/[^/]+", "appRoleAssignment", 200},
		{"DELETE", assigned + "/[^/]+", shapeNone, 204},
		{"GET", granted, "coll.oauth2PermissionGrant", 200},
		{"POST", "oauth2PermissionGrants", "oauth2PermissionGrant", 201},
		{"GET", "oauth2PermissionGrants/[^/]+", "oauth2PermissionGrant", 200},
		{"PATCH", "oauth2PermissionGrants/[^/]+", shapeNone, 204},
		{"DELETE", "oauth2PermissionGrants/[^/]+", shapeNone, 204},
		{"GET", ".+/\\$count", shapeNumber, 200},
		{"PATCH", "users/[^/]+", shapeNone, 204},
		{"DELETE", "users/[^/]+", shapeNone, 204},
		{"PUT", "users/[^/]+/manager/\\$ref", shapeNone, 204},
		{"DELETE", "users/[^/]+/manager/\\$ref", shapeNone, 204},
		{"DELETE", "directory/deletedItems/[^/]+", shapeNone, 204},
		{"POST", "(applications|servicePrincipals)/[^/]+/addPassword", "passwordCredential", 200},
		{"PATCH", "applications/uniqueName='[^']+'", "application", 201},
		{"PATCH", "servicePrincipals/appId='[^']+'", "servicePrincipal", 201},
		{"POST", "\\$batch", "batch", 200},
		{"POST", "(users|directoryObjects)/[^/]+/(get|check)Member(Groups|Objects)", "coll.text", 200},
		{"GET", "(users/[^/]+|me)/manager", "directoryObject", 200},
		{"GET", "(users/[^/]+|me)/manager/\\$ref", "reference", 200},
		{"GET", "(users/[^/]+|me)/(directReports|memberOf|transitiveMemberOf|ownedObjects|sponsors|licenseDetails|appRoleAssignments)(/(graph\\.)?(group|directoryRole))?", "coll.directoryObject", 200},
		{"GET", "me", "user", 200},
		{"GET", "organization/[^/]+", "organization", 200},
		{"GET", "domains/[^/]+", "domain", 200},
		{"GET", "groups", "coll.directoryObject", 200},
		{"GET", "directoryRoles", "coll.directoryRole", 200},
		{"GET", "directoryRoles/[^/]+", "directoryRole", 200},
		{"GET", "directoryRoles/roleTemplateId='[^']+'", "directoryRole", 200},
		{"GET", "directoryRoles/[^/]+/members", "coll.directoryObject", 200},
		{"GET", "directoryRoleTemplates", "coll.directoryRole", 200},
		{"GET", "directoryRoleTemplates/[^/]+", "directoryRole", 200},
		{"GET", "directoryObjects/[^/]+", "directoryObject", 200},
		{"POST", "directoryObjects/getByIds", "coll.directoryObject", 200},
	}
}

// resource is a request path as the patterns of pathSchema are written: without version, namespaces, key predicates and the
// parentheses of function calls.
func resource(path string) string {
	path = versionPrefix.ReplaceAllString(strings.TrimRight(path, "/"), "")
	segments := strings.Split(path, "/")
	for i, s := range segments {
		if plain, err := url.PathUnescape(s); err == nil {
			segments[i] = strings.ReplaceAll(plain, "/", "_")
		}
	}
	path = strings.Join(segments, "/")
	path = namespaces.ReplaceAllString(strings.ReplaceAll(path, "()", ""), "/")
	return keyPredicate.ReplaceAllString(path, "/$1")
}

// shapeOf returns the name of the shape that an answer must have, "" if none is listed.
func (w *world) shapeOf(method, path string, status int) string {
	if status >= 400 {
		return "odataError"
	}
	as := []string{resource(path), strings.Trim(path[min(len(path), len("/beta")):], "/")} // some patterns have key predicates
	for _, r := range shapes(w.t) {
		if r.Method == method && r.Status == status && slices.ContainsFunc(as, r.pattern.MatchString) {
			return r.Schema
		}
	}
	return ""
}

type shapeRow struct {
	pathSchema
	pattern *regexp.Regexp
}

var shapeRows []shapeRow

// shapes are paths with their patterns compiled, once for all tests.
func shapes(t testing.TB) []shapeRow {
	if shapeRows == nil {
		for _, p := range paths(t) {
			shapeRows = append(shapeRows, shapeRow{p, regexp.MustCompile("(?i)^" + p.Path + "$")})
		}
	}
	return shapeRows
}

var (
	versionPrefix = regexp.MustCompile(`(?i)^/*(v1\.0|beta)/+`)
	namespaces    = regexp.MustCompile(`(?i)/microsoft\.graph\.`)
	keyPredicate  = regexp.MustCompile(`\(([^()]*)\)`)
)

// validate checks what is true of every answer, and its body against Graph's schema or the shape that is listed for it.
func (w *world) validate(method, path string, rec *httptest.ResponseRecorder) {
	w.t.Helper()
	fail := func(format string, args ...any) {
		w.t.Helper()
		w.t.Errorf("%s %s: %d "+format+"\n%s", append(append([]any{method, path, rec.Code}, args...), rec.Body)...)
	}
	h := rec.Header()
	if _, err := uuid.Parse(h.Get("Request-Id")); err != nil || h.Get("Client-Request-Id") == "" {
		fail("request ids %v", h)
	}
	shape := w.shapeOf(method, path, rec.Code)
	switch shape {
	case "":
		fail("has no schema: list it in ownPaths")
		return
	case shapeNone:
		if _, typed := h["Content-Type"]; typed || rec.Body.Len() > 0 {
			fail("has content: %v", h)
		}
		return
	case shapeNumber:
		if _, err := strconv.ParseUint(rec.Body.String(), 10, 63); err != nil || h.Get("Content-Type") != "text/plain" {
			fail("is no number: %v", h)
		}
		return
	case shapeXML:
		if h.Get("Content-Type") != "application/xml" {
			fail("is no XML: %v", h)
		}
		return
	}
	if h.Get("Content-Type") != contentType || h.Get("OData-Version") != "4.0" || h.Get("Content-Length") != strconv.Itoa(rec.Body.Len()) {
		fail("headers %v", h)
	}
	if method == "HEAD" || w.extended && shape != "odataError" {
		return
	}
	if problem := w.fits(shape, path, rec.Body.Bytes()); problem != nil {
		fail("does not validate as %s: %v", shape, problem)
	}
	if shape == "odataError" {
		var e errorBody
		_ = json.Unmarshal(rec.Body.Bytes(), &e)
		if in := e.Error.Inner; e.Error.Code == "" || in.Date == "" || in.RequestID != h.Get("Request-Id") || in.ClientRequestID != h.Get("Client-Request-Id") {
			fail("its error object and its headers are not one")
		}
	} else if !bytes.HasPrefix(rec.Body.Bytes(), []byte(`{"@odata.context":"`)) && shape != "batch" {
		fail("does not begin with its context")
	}
}

// fits checks a body against a schema of the path's version.
func (w *world) fits(shape, path string, body []byte) error {
	w.t.Helper()
	version := "v1.0"
	if strings.HasPrefix(strings.ToLower(path), "/beta") {
		version = "beta"
	}
	schema, err := graphSchemas[version](w.t).Compile("graph.json#/$defs/" + shape)
	if err != nil {
		w.t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return err
	}
	return schema.Validate(doc)
}

// graphSchemas are Graph's schemas by version; they are read once for all tests.
var graphSchemas = map[string]func(testing.TB) *jsonschema.Compiler{"v1.0": readOnce("v1.0"), "beta": readOnce("beta")}

func readOnce(version string) func(testing.TB) *jsonschema.Compiler {
	var compiler *jsonschema.Compiler
	return func(t testing.TB) *jsonschema.Compiler {
		if compiler != nil {
			return compiler
		}
		var doc map[string]any
		readJSON(t, "graph-"+version+".schema.json", &doc)
		complete(t, doc["$defs"].(map[string]any))
		compiler = jsonschema.NewCompiler()
		if err := compiler.AddResource("graph.json", any(doc)); err != nil {
			t.Fatal(err)
		}
		return compiler
	}
}

// complete adds to Graph's schemas what its metadata does not say, and closes what it leaves open.
func complete(t testing.TB, defs map[string]any) {
	properties := func(name string) map[string]any { return defs[name].(map[string]any)["properties"].(map[string]any) }
	for _, named := range []string{"attributeMappingFunctionSchema", "filterOperatorSchema"} {
		// Graph's metadata knows these by id, its documented listings by name: both are answered.
		properties(named)["name"] = map[string]any{"type": "string"}
	}
	for _, open := range []string{"user", "organization"} { // open types: a misspelt property must fail all the same
		def := defs[open].(map[string]any)
		def["additionalProperties"] = false
		def["patternProperties"] = map[string]any{"@": map[string]any{}, "(?i)^extension_": map[string]any{}}
	}
	properties("user")["manager"] = map[string]any{"$ref": "#/$defs/directoryObject"}
	var own map[string]any
	if err := json.Unmarshal([]byte(ownShapes), &own); err != nil {
		t.Fatal(err)
	}
	for name := range own {
		own["coll."+name] = collectionOf(name)
	}
	maps.Copy(defs, own)
}

func collectionOf(name string) map[string]any {
	text := map[string]any{"type": "string"}
	return map[string]any{"type": "object", "required": []any{"@odata.context", "value"}, "additionalProperties": false, "properties": map[string]any{
		"@odata.context": text, "@odata.nextLink": text, "@odata.count": map[string]any{"type": "integer"},
		"value": map[string]any{"type": "array", "items": map[string]any{"$ref": "#/$defs/" + name}}}}
}

// ownShapes are schemas of what has none in Graph's metadata.
const ownShapes = `{
	"own": {"type": "object"},
	"text": {"type": "string"},
	"reference": {"type": "object", "required": ["@odata.id"], "additionalProperties": false, "properties": {
		"@odata.context": {"type": "string"}, "@odata.id": {"type": "string"}}},
	"batch": {"type": "object", "required": ["responses"], "additionalProperties": false, "properties": {"responses": {"type": "array", "items": {
		"type": "object", "required": ["id", "status", "headers"], "additionalProperties": false, "properties": {
			"id": {"type": "string"}, "status": {"type": "integer"}, "headers": {"type": "object", "additionalProperties": {"type": "string"}}, "body": {}}}}}},
	"directoryObject": {"type": "object", "required": ["@odata.type"], "oneOf": [
		{"properties": {"@odata.type": {"const": "#microsoft.graph.user"}}, "$ref": "#/$defs/user"},
		{"properties": {"@odata.type": {"const": "#microsoft.graph.servicePrincipal"}}, "$ref": "#/$defs/servicePrincipal"},
		{"properties": {"@odata.type": {"const": "#microsoft.graph.application"}}, "$ref": "#/$defs/application"},
		{"properties": {"@odata.type": {"const": "#microsoft.graph.directoryRole"}}, "$ref": "#/$defs/directoryRole"}]},
	"federatedIdentityCredential": {"type": "object", "additionalProperties": false, "patternProperties": {"@": {}}, "properties": {
		"id": {"type": "string"}, "name": {"type": "string"}, "issuer": {"type": "string"}, "subject": {"type": ["string", "null"]}, "description": {"type": ["string", "null"]},
		"audiences": {"type": "array", "items": {"type": "string"}}, "claimsMatchingExpression": {}}},
	"appRoleAssignment": {"type": "object", "additionalProperties": false, "patternProperties": {"@": {}}, "properties": {
		"id": {"type": "string"}, "deletedDateTime": {"type": "null"}, "appRoleId": {"type": "string"}, "createdDateTime": {"type": ["string", "null"]},
		"principalDisplayName": {"type": ["string", "null"]}, "principalId": {"type": ["string", "null"]}, "principalType": {"type": ["string", "null"]},
		"resourceDisplayName": {"type": ["string", "null"]}, "resourceId": {"type": ["string", "null"]}}},
	"oauth2PermissionGrant": {"type": "object", "additionalProperties": false, "patternProperties": {"@": {}}, "properties": {
		"id": {"type": "string"}, "clientId": {"type": "string"}, "consentType": {"enum": ["AllPrincipals", "Principal"]}, "principalId": {"type": ["string", "null"]},
		"resourceId": {"type": "string"}, "scope": {"type": ["string", "null"]}}},
	"extensionProperty": {"type": "object", "additionalProperties": false, "patternProperties": {"@": {}}, "properties": {
		"id": {"type": "string"}, "deletedDateTime": {"type": "null"}, "appDisplayName": {"type": ["string", "null"]}, "dataType": {"type": "string"},
		"isMultiValued": {"type": "boolean"}, "isSyncedFromOnPremises": {"type": ["boolean", "null"]}, "name": {"type": "string"}, "targetObjects": {"type": "array", "items": {"type": "string"}}}},
	"directoryRole": {"type": "object", "additionalProperties": false, "patternProperties": {"@": {}}, "properties": {
		"id": {"type": "string"}, "deletedDateTime": {"type": "null"}, "description": {"type": "string"}, "displayName": {"type": "string"}, "roleTemplateId": {"type": "string"}}}
}`
