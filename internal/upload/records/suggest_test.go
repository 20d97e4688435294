package records

import (
	"io"
	"strings"
	"testing"

	"induct/examples/workforce"
)

func suggest(t testing.TB, text string) Suggestion {
	t.Helper()
	f := open(t, text, Options{})
	sample, err := f.Sample(100)
	if err != nil {
		t.Fatal(err)
	}
	s := Suggest(f.Columns(), sample)
	if _, err := ParseMapping(s.Mapping); err != nil {
		t.Fatalf("%v in\n%s", err, s.Mapping)
	}
	return s
}

func TestSuggest(t *testing.T) {
	const enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:"
	const csvURN = "urn:ietf:params:scim:schemas:extension:csv:1.0:User:"
	for name, tc := range map[string]struct {
		text     string
		want     map[string]string // path → rule, as in the mapping
		unmapped string
	}{
		"sample client": {
			"WorkerID,WorkerStatus,WorkerType,UserID,FirstName,LastName,FullName,WorkEmail,JobTitle,Department,ManagerID,CompanyCode,CountryCode,HireDate,CostCenter,Building,StreetAddress,City,State,ZipCode,PreferredLanguage\n" +
				"E-1,Active,Regular,kim,Kim,Ash,Kim Ash,kim@x.example,Clerk,Sales,E-2,10,DE,2020-01-31,77,B,Road 1,Bonn,NW,53111,de-DE\nE-2,Terminated,Regular,jo,Jo,Elm,Jo Elm,jo@x.example,Clerk,Sales,,10,DE,2020-01-31,77,B,Road 1,Bonn,NW,53111,de-DE\n",
			map[string]string{"externalId": `"WorkerID"`, "userName": `"UserID"`, "active": `{"column":"WorkerStatus","equals":["Active"]}`, "userType": `"WorkerType"`,
				"name.givenName": `"FirstName"`, "name.familyName": `"LastName"`, "displayName": `"FullName"`, workEmail: `"WorkEmail"`, "title": `"JobTitle"`,
				enterprise + "department": `"Department"`, enterprise + "manager.value": `"ManagerID"`, enterprise + "organization": `"CompanyCode"`,
				workAddress + "country": `"CountryCode"`, csvURN + "HireDate": `"HireDate"`, enterprise + "costCenter": `"CostCenter"`,
				workAddress + "streetAddress": `"StreetAddress"`, workAddress + "locality": `"City"`, workAddress + "region": `"State"`, workAddress + "postalCode": `"ZipCode"`, "preferredLanguage": `"PreferredLanguage"`,
				`emails[type eq "work"].primary`: `{"constant":true}`},
			"Building",
		},
		"snake case": {
			"Employee_ID,User_Name,Legal_Name_-_First_Name,Legal_Name_-_Last_Name,Preferred_Name,Business_Title,Supervisory_Organization,Cost_Center,Email_-_Work,Worker_Status,Manager_ID,Hire_Date\n21001,ann,Ann,Elm,Ann,Clerk,Sales,1,a@x.example,On Leave,21002,2020-01-01\n21002,bob,Bob,Elm,Bob,Clerk,Sales,1,b@x.example,Active,,2020-01-01\n",
			map[string]string{"externalId": `"Employee_ID"`, "userName": `"User_Name"`, "name.givenName": `"Legal_Name_-_First_Name"`, "name.familyName": `"Legal_Name_-_Last_Name"`, "nickName": `"Preferred_Name"`,
				"title": `"Business_Title"`, enterprise + "department": `"Supervisory_Organization"`, enterprise + "costCenter": `"Cost_Center"`, workEmail: `"Email_-_Work"`,
				"active": `{"column":"Worker_Status","equals":["On Leave","Active"]}`, enterprise + "manager.value": `"Manager_ID"`, csvURN + "HireDate": `"Hire_Date"`}, "",
		},
		"camel case": {
			"personIdExternal,userId,firstName,lastName,emplStatus,email,managerId,businessUnit,division,location,company\n1,u1,A,B,A,a@x.example,2,BU,Div,Bonn,Co\n2,u2,C,D,T,c@x.example,,BU,Div,Bonn,Co\n",
			map[string]string{"externalId": `"personIdExternal"`, "userName": `"userId"`, "name.givenName": `"firstName"`, "active": `{"column":"emplStatus","equals":["A"]}`,
				workEmail: `"email"`, enterprise + "manager.value": `"managerId"`, enterprise + "division": `"division"`, enterprise + "organization": `"company"`}, "businessUnit,location",
		},
		"words": {
			"Employee #,First Name,Last Name,Work Email,Job Title,Department,Reports To,Status,Mobile Phone,Work Phone\n7,A,B,a@x.example,Clerk,Sales,Jo Elm,Active,1,2\n",
			map[string]string{"externalId": `"Employee #"`, "name.givenName": `"First Name"`, workEmail: `"Work Email"`, "userName": `"Work Email"`, "displayName": `{"columns":["First Name","Last Name"],"separator":" "}`,
				`phoneNumbers[type eq "mobile"].value`: `"Mobile Phone"`, workPhone: `"Work Phone"`}, "Reports To",
		},
		"german": {
			"Personalnummer;Vorname;Nachname;E-Mail (geschäftlich);Abteilung;Kostenstelle;Vorgesetzten-ID;Straße;PLZ;Ort;Land;Eintrittsdatum;Status;Stellenbezeichnung\n0007;Jörg;Groß;j@x.example;Vertrieb;1;0008;Weg 1;53111;Bonn;Deutschland;31.01.2020;aktiv;Kaufmann\n0008;A;B;a@x.example;Vertrieb;1;;Weg 1;53111;Bonn;Deutschland;31.01.2020;ausgeschieden;x\n",
			map[string]string{"externalId": `"Personalnummer"`, "name.givenName": `"Vorname"`, "name.familyName": `"Nachname"`, workEmail: `"E-Mail (geschäftlich)"`, enterprise + "department": `"Abteilung"`,
				enterprise + "costCenter": `"Kostenstelle"`, enterprise + "manager.value": `"Vorgesetzten-ID"`, workAddress + "streetAddress": `"Straße"`, workAddress + "postalCode": `"PLZ"`, workAddress + "locality": `"Ort"`,
				workAddress + "country": `"Land"`, csvURN + "HireDate": `"Eintrittsdatum"`, "active": `{"column":"Status","equals":["aktiv"]}`, "title": `"Stellenbezeichnung"`}, "",
		},
		"french": {
			"Matricule;Nom;Prénom;Courriel;Poste;Service;Date d'embauche;Actif\nM1;Dubois;Zoé;z@x.example;Chef;Ventes;2020-01-01;oui\n",
			map[string]string{"externalId": `"Matricule"`, "name.familyName": `"Nom"`, "name.givenName": `"Prénom"`, workEmail: `"Courriel"`, "title": `"Poste"`, enterprise + "department": `"Service"`,
				csvURN + "HireDate": `"Date d'embauche"`, "active": `{"column":"Actif","equals":["oui"]}`}, "",
		},
		"spanish": {
			"Número de empleado,Nombre,Apellidos,Correo electrónico,Puesto,Departamento,Activo,País\n1,Ana,Ruiz,a@x.example,Jefa,Ventas,1,ES\n",
			map[string]string{"externalId": `"Número de empleado"`, "name.givenName": `"Nombre"`, "name.familyName": `"Apellidos"`, workEmail: `"Correo electrónico"`, "title": `"Puesto"`,
				enterprise + "department": `"Departamento"`, "active": `{"column":"Activo","type":"boolean"}`, workAddress + "country": `"País"`}, "",
		},
		"json": {
			`[{"employee":{"id":1,"name":{"first":"A","last":"B"}},"emails":[{"value":"a@x.example"}],"isActive":true}]`,
			map[string]string{"externalId": `"employee.id"`, "name.givenName": `"employee.name.first"`, "name.familyName": `"employee.name.last"`, workEmail: `"emails[0].value"`, "active": `{"column":"isActive","type":"boolean"}`}, "",
		},
		"nothing known": {"x,y,y\n1,a@x.example,b\n2,b@x.example,b\n", map[string]string{"externalId": `"x"`}, "y,y"},
		"bad addresses": {"id,E-Mail,Mail 2\n1,a at x,none\n2,b@x.example,none\n", map[string]string{"externalId": `"id"`, workEmail: `"E-Mail"`}, "Mail 2"},
		"by cells":      {"id,kontakt\n1,a@x.example\n2,b@x.example\n", map[string]string{"externalId": `"id"`, workEmail: `"kontakt"`}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := suggest(t, tc.text)
			top, err := members(s.Mapping, "")
			if err != nil {
				t.Fatal(err)
			}
			list, _ := members(top[1].value, "")
			got := map[string]string{}
			for _, m := range list {
				got[m.name] = string(m.value)
			}
			for path, want := range tc.want {
				if got[path] != want {
					t.Errorf("%s: %s, want %s", path, got[path], want)
				}
			}
			if strings.Join(s.Unmapped, ",") != tc.unmapped {
				t.Errorf("unmapped %q, want %q in\n%s", s.Unmapped, tc.unmapped, s.Mapping)
			}
		})
	}
}

// TestSuggestWorkforce holds that the example's own mapping is found, and works.
func TestSuggestWorkforce(t *testing.T) {
	s := suggest(t, string(workforce.CSV))
	if len(s.Unmapped) > 0 {
		t.Errorf("unmapped: %q", s.Unmapped)
	}
	f := open(t, string(workforce.CSV), Options{})
	src, err := f.Records(mustMapping(t, string(s.Mapping)))
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := src.Next(); err == io.EOF {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}
