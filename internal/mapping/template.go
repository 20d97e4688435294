package mapping

import "strconv"

// Ids in the default schema. They never change: clients remember them.
const (
	templateRuleID   = "3f0c6a52-8d41-4be0-9a5e-6c1f27d0b8e1"
	templateSourceID = "b5e1d2a7-47c3-4f0e-8f86-0d6a9e3c5b12"
	templateTargetID = "e8a94c36-1b7f-4d25-a3d9-52f7c80e6b43"
)

// The extension of RFC 7643 section 4.3.
const enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:"

// userNameLocalPart is the userName without its domain.
const userNameLocalPart = `Replace([userName], , "(?<Suffix>@(.)*)", "Suffix", "", , )`

// Templates returns the ids of the job templates that there are.
func Templates() []string { return []string{"API2AAD", "API2AD"} }

// Template returns a new copy of the default schema of a job template; ok is false if there is no such
// template. "API2AAD" provisions people into a cloud directory, "API2AD" into Active Directory.
func Template(id string) (s *Schema, ok bool) {
	switch id {
	case "API2AAD":
		return cloudTemplate(id), true
	case "API2AD":
		return onPremisesTemplate(id), true
	}
	return nil, false
}

func cloudTemplate(id string) *Schema {
	return &Schema{
		ID:      id,
		Version: "v1",
		Rules: []Rule{{
			ID:                  templateRuleID,
			Name:                "USER_INBOUND_USER",
			Priority:            1,
			Editable:            true,
			SourceDirectoryName: "API",
			TargetDirectoryName: "Azure Active Directory",
			ObjectMappings: []ObjectMapping{{
				Name:              "Provision API urn:ietf:params:scim:schemas:extension:enterprise:2.0:Users",
				Enabled:           true,
				FlowTypes:         FlowTypes{Add: true, Update: true, Delete: true},
				SourceObjectName:  "User",
				TargetObjectName:  "User",
				AttributeMappings: defaultMappings(),
			}},
		}},
		Directories: []Directory{
			{ID: templateSourceID, Name: "API", Version: "v1", Objects: []Object{{Name: "User", Attributes: sourceAttributes()}}},
			{ID: templateTargetID, Name: "Azure Active Directory", Version: "v1", ReadOnly: true, Objects: []Object{{Name: "User", Attributes: targetAttributes()}}},
		},
	}
}

// always, match and onCreate write the rows of a template.
func always(target, expression string) AttributeMapping {
	return AttributeMapping{TargetAttributeName: target, Expression: expression, FlowType: "Always", FlowBehavior: "FlowWhenChanged"}
}

func match(m AttributeMapping) AttributeMapping { m.MatchingPriority = 1; return m }

func onCreate(m AttributeMapping) AttributeMapping { m.FlowType = FlowTypeObjectAdd; return m }

// defaultMappings are the rows of API2AAD. Microsoft publishes no such table. Documented are the pairs of externalId and
// active ("API-driven inbound provisioning concepts", its FAQ), title ("Configure custom attributes"), manager ("HR manager
// update issues"), and the expression for userPrincipalName ("API-driven inbound provisioning issues"), which here leaves alone
// who is sent without userName, as in the third example of the bulkUpload page. The names, the
// organization data, the work address and telephone, preferredLanguage and mail are those of Microsoft's sample client, mobile
// and department too of the Oracle HCM tutorial. mailNickname, which an account must have, and employeeType are ours.
func defaultMappings() []AttributeMapping {
	return []AttributeMapping{
		match(always("employeeId", "[externalId]")),
		always("userPrincipalName", `Join("", Replace(IgnoreFlowIfNullOrEmpty([userName]), , "(?<Suffix>@(.)*)", "Suffix", "", , ), "@", DefaultDomain())`),
		always("accountEnabled", "[active]"),
		always("displayName", "[displayName]"),
		always("givenName", "[name.givenName]"),
		always("surname", "[name.familyName]"),
		always("jobTitle", "[title]"),
		always("department", "["+enterprise+"department]"),
		always("companyName", "["+enterprise+"organization]"),
		always("manager", "["+enterprise+"manager]"),
		always("streetAddress", `[addresses[type eq "work"].streetAddress]`),
		always("city", `[addresses[type eq "work"].locality]`),
		always("state", `[addresses[type eq "work"].region]`),
		always("postalCode", `[addresses[type eq "work"].postalCode]`),
		always("country", `[addresses[type eq "work"].country]`),
		always("telephoneNumber", `[phoneNumbers[type eq "work"].value]`),
		always("mobile", `[phoneNumbers[type eq "mobile"].value]`),
		always("preferredLanguage", "[preferredLanguage]"),
		always("employeeType", "[userType]"),
		onCreate(always("mailNickname", userNameLocalPart)),
		always("mail", `[emails[type eq "work"].value]`),
	}
}

func sourceAttributes() []Attribute {
	attrs := []Attribute{{Name: "externalId", Type: "String", Anchor: true, Required: true, CaseExact: true}}
	add := func(names ...string) {
		for _, name := range names {
			attrs = append(attrs, Attribute{Name: name, Type: "String"})
		}
	}
	add("userName", "displayName", "nickName", "title", "userType", "preferredLanguage", "locale", "timezone", "profileUrl")
	attrs = append(attrs, Attribute{Name: "active", Type: "Boolean"})
	add("name.formatted", "name.familyName", "name.givenName", "name.middleName", "name.honorificPrefix", "name.honorificSuffix")
	add(`emails[type eq "work"].value`)
	for _, kind := range []string{"work", "mobile", "fax"} {
		add(`phoneNumbers[type eq "` + kind + `"].value`)
	}
	for _, part := range []string{"formatted", "streetAddress", "locality", "region", "postalCode", "country"} {
		add(`addresses[type eq "work"].` + part)
	}
	for _, name := range []string{"employeeNumber", "costCenter", "organization", "division", "department"} {
		add(enterprise + name)
	}
	return append(attrs, Attribute{Name: enterprise + "manager", Type: "Reference", References: "User"})
}

// targetAttributes lists the user of the cloud directory; the lengths are those of the user resource of
// Microsoft Graph, except that an employeeId may be as long as a GUID.
func targetAttributes() []Attribute {
	// A name that HR corrects from "mcdonald" to "McDonald" must arrive; what identifies does not depend on case.
	text := func(name string, max int) Attribute {
		return Attribute{Name: name, Type: "String", CaseExact: true, MaxLength: max}
	}
	folded := func(name string, max int) Attribute { return Attribute{Name: name, Type: "String", MaxLength: max} }
	attrs := []Attribute{
		{Name: "objectId", Type: "String", Anchor: true, CaseExact: true, Mutability: "ReadOnly"},
		{Name: "accountEnabled", Type: "Boolean"},
		{Name: "IsSoftDeleted", Type: "Boolean", Mutability: "ReadOnly"},
		text("city", 128), text("companyName", 64), text("country", 128), text("department", 64),
		{Name: "displayName", Type: "String", Required: true, CaseExact: true, MaxLength: 256},
		folded("employeeId", 64),
		{Name: "employeeHireDate", Type: "DateTime"},
		{Name: "employeeLeaveDateTime", Type: "DateTime"},
		text("employeeType", 0), text("employeeOrgData.costCenter", 0), text("employeeOrgData.division", 0),
	}
	for i := 1; i <= 15; i++ {
		attrs = append(attrs, text("extensionAttribute"+strconv.Itoa(i), 1024))
	}
	return append(attrs,
		text("facsimileTelephoneNumber", 64), text("givenName", 64), text("jobTitle", 128), folded("mail", 256),
		Attribute{Name: "mailNickname", Type: "String", Required: true, MaxLength: 64},
		Attribute{Name: "manager", Type: "Reference", References: "User"},
		text("mobile", 64),
		Attribute{Name: "otherMails", Type: "String", MultiValued: true, MaxLength: 250},
		Attribute{Name: "passwordProfile.password", Type: "String", CaseExact: true, Mutability: "WriteOnly", MaxLength: 256},
		text("physicalDeliveryOfficeName", 128), text("postalCode", 40), folded("preferredLanguage", 0),
		Attribute{Name: "proxyAddresses", Type: "String", MultiValued: true, MaxLength: 1024},
		Attribute{Name: "showInAddressList", Type: "Boolean"},
		Attribute{Name: "sourceAnchor", Type: "String", CaseExact: true, Mutability: "ReadOnly"},
		text("state", 128), text("streetAddress", 1024), text("surname", 64), text("telephoneNumber", 64), folded("usageLocation", 2),
		Attribute{Name: "userPrincipalName", Type: "String", Required: true, MaxLength: 113},
		folded("userType", 0),
	)
}
