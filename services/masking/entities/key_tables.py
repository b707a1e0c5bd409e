"""The words of keys, joined, and what they say: data for `keyed`."""

from typing import Final

from services.masking.entities import key_values as values
from services.masking.leaf import words_of


def _joined(key: str) -> str:
    return words_of((key,)).replace(" ", "")


def _table(*rows: tuple[str, values.Plausible, str]) -> dict[str, tuple[str, values.Plausible]]:
    """Rows are an entity, what its value must look like, and its keys in words, with commas between them."""
    return {_joined(key): (entity, check) for entity, check, keys in rows for key in keys.split(",")}


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


TABLE: Final = _table(
    (
        "PERSON",
        values.name,
        """
        first name, firstname, fname, given name, givenname, forename, last name, lname, surname, family name, maiden
        name, middle name, middlename, full name, fullname, legal name, real name, name first, name last, name given,
        name family, name full, name middle, preferred name, nickname, nick name, birth name, mothers maiden name,
        mother maiden name, father name, mother name, cardholder, card holder, cardholder name, card holder name, name
        on card, account holder, account holder name, policy holder, policyholder, next of kin, emergency contact,
        vorname, nachname, familienname, geburtsname, rufname, nombre completo, nombres, apellido, apellidos, primer
        apellido, segundo apellido, nombre y apellido, prénom, prenom, nom de famille, nom complet, cognome, nome
        completo, sobrenome, voornaam, achternaam, imię, imie, nazwisko, fornamn, efternamn, etunimi, sukunimi, soyad,
        ship to name, bill to name, to name, from name, name on account, kundenname, patientenname, mitarbeitername,
        kontoinhaber, karteninhaber, ansprechpartner, contact person, 姓名, 氏名
        """,
    ),
    (
        "STREET_ADDRESS",
        values.address,
        """
        address, addr, full address, adresse, anschrift, dirección, direccion, indirizzo, endereço, endereco, adres,
        住所, 地址
        """,
    ),
    (
        "STREET_ADDRESS",
        values.street,
        """
        street, street address, streetaddress, street line, street name, address line, addressline, addr line, address
        street, home address, postal address, mailing address, residential address, shipping address, billing address,
        delivery address, permanent address, current address, house number and street, residence, strasse, straße,
        hausanschrift, calle, rue, straat, ulica, domicilio, thoroughfare
        """,
    ),
    (
        "ZIP_CODE",
        values.zip_code,
        """
        zip code, zipcode, zip, postcode, post code, postal code, postalcode, postal, plz, postleitzahl, pin code,
        código postal, codigo postal, code postal, cep, cap code, postnummer, postal zip, eircode, 郵便番号, 邮编
        """,
    ),
    (
        "LOCATION",
        values.place,
        """
        city, town, suburb, locality, ort, stadt, ciudad, ville, città, citta, place of birth, birth place,
        birthplace, birth city
        """,
    ),
    (
        "DATE_OF_BIRTH",
        values.date,
        """
        date of birth, dateofbirth, dob, birth date, birthdate, birthday, birth day, born, born on, birth, date birth,
        birth year, dob year, birth dt, year of birth, geburtsdatum, geburtstag, fecha de nacimiento, fecha
        nacimiento, date de naissance, data di nascita, data de nascimento, geboortedatum, 生年月日, 出生日期
        """,
    ),
    ("AGE", values.age, "age, patient age, customer age, age years, age in years, edad, alter"),
    (
        "PASSWORD",
        values.any_value,
        """
        password, passwd, pwd, passphrase, pass phrase, passwort, kennwort, contraseña, contrasena, mot de passe,
        senha, userpassword, db pass, smtp pass, root pass, admin pass, user pass, mysql pwd, pgpassword, security
        answer, secret answer, new password, password confirmation, confirm password, password confirm, password
        repeat, 密码
        """,
    ),
    ("PIN", values.short_code, "pin, card pin, atm pin, pin code"),
    (
        "PASSWORD",
        values.short_code,
        """
        otp, otp code, one time password, one time code, one time passcode, passcode, pass
        code, mfa code, two factor code, verification code, tfa code, totp code, backup code, recovery code, sms code
        """,
    ),
    (
        "CVV",
        values.security_code,
        """
        cvv, cvc, cvn, csc, card cvv, card cvc, card security code, card verification value, security code, card
        verification code, cvv code, cvc code
        """,
    ),
    (
        "API_KEY",
        values.opaque,
        """
        api key, apikey, x api key, access key, accesskey, access key id, secret access key, api token, api secret,
        app key, subscription key, account key, storage key, license key, licence key, private key id, webhook secret
        """,
    ),
    (
        "SECRET",
        values.opaque,
        """
        secret, client secret, clientsecret, secret key, secretkey, shared secret, app secret, consumer secret, access
        token, accesstoken, refresh token, refreshtoken, auth token, authtoken, id token, bearer, bearer token,
        session token, session key, session cookie, csrf token, xsrf token, device token, push token, oauth token,
        personal access token, bot token, encryption key, signing key, master key, signing secret, jwt, jwt secret,
        credential, credentials, phpsessid, jsessionid, connect sid, totp secret, otp secret, seed phrase, security
        token
        """,
    ),
    (
        "SECRET",
        values.random_value,
        """
        token, signature, session, sig, auth, sid, session secret, cookie secret, hmac
        """,
    ),
    (
        "SECRET",
        values.any_value,
        """
        mnemonic, recovery phrase, seed words, connection string, private key, ssh key
        """,
    ),
    ("SECRET", values.credentials, "authorization, proxy authorization, auth header, authorization header"),
    ("SECRET", values.cookies, "cookie, set cookie, cookies, cookie header"),
    (
        "CREDIT_CARD",
        values.digits(12, 19),
        """
        card number, cardnumber, card no, card num, credit card, creditcard, credit card number, creditcardnumber, cc
        number, cc num, ccnum, ccn, cc, pan, primary account number, debit card, debit card number, payment card,
        kartennummer, kreditkarte, tarjeta, número de tarjeta, numero de tarjeta, numéro de carte, card
        """,
    ),
    (
        "US_SSN",
        values.digits(9, 9),
        """
        ssn, social security, social security number, socialsecuritynumber, ssn number
        """,
    ),
    (
        "US_SSN",
        values.digits(4, 9),
        """
        ssn last, ssn last four, ssn last digits, last four ssn, last ssn, social
        """,
    ),
    ("US_ITIN", values.digits(9, 9), "itin, individual taxpayer identification number"),
    ("US_MBI", values.document_number, "mbi, medicare beneficiary identifier, medicare beneficiary number"),
    ("US_NPI", values.digits(10, 10), "npi, national provider identifier"),
    (
        "IBAN_CODE",
        values.iban,
        """
        iban, iban code, bank iban, account iban, international bank account number
        """,
    ),
    (
        "BANK_ACCOUNT",
        values.digits(5, 20),
        """
        account number, accountnumber, acct number, account no, acct no, acct, bank account, bank account number, bank
        acct, checking account, savings account, kontonummer, konto, beneficiary account, account num, bank number,
        número de cuenta, numero de cuenta, numéro de compte, bban, clabe
        """,
    ),
    (
        "ABA_ROUTING_NUMBER",
        values.digits(8, 9),
        """
        routing number, routingnumber, routing, aba, aba number, aba routing, aba routing number, bank routing,
        routing transit number
        """,
    ),
    ("BANK_ACCOUNT", values.digits(6, 8), "sort code, sortcode, blz, bankleitzahl, bsb, transit number"),
    (
        "PHONE_NUMBER",
        values.phone,
        """
        phone, phone number, phonenumber, telephone, telephone number, tel, mobile, mobile number, mobile phone, cell,
        cell phone, cellphone, cell number, fax, fax number, contact number, whatsapp, whatsapp number, msisdn, phone
        home, phone work, phone mobile, home phone, work phone, landline, telefon, telefonnummer, handy, handynummer,
        mobilnummer, teléfono, telefono, móvil, movil, celular, téléphone, portable, telefone, cellulare, telefoon,
        emergency phone, caller, callback number, 電話番号, 电话, 手机
        """,
    ),
    (
        "EMAIL_ADDRESS",
        values.email,
        """
        email, e mail, email address, emailaddress, mail, mail address, e mail address, correo, correo electrónico,
        courriel, reply to, mailto, recipient email, user email, to email, from email, cc email, upn
        """,
    ),
    (
        "PASSPORT",
        values.document_number,
        """
        passport, passport number, passport no, passportnumber, passport num, reisepass, passport id, reisepassnummer,
        pasaporte, passeport, número de pasaporte
        """,
    ),
    (
        "DRIVER_LICENSE",
        values.document_number,
        """
        license number, licence number, driver license, drivers license, driver licence, drivers licence, driving
        license, driving licence, dl number, driver license number, drivers license number, driving licence number,
        driving license number, dl no, driverslicense, driverlicense, driver licence number, führerschein,
        fuehrerschein, führerscheinnummer, permiso de conducir, permis de conduire, patente di guida
        """,
    ),
    (
        "LICENSE_PLATE",
        values.plate,
        """
        license plate, licence plate, number plate, plate number, license plate number, licence plate number, vehicle
        registration, vehicle registration number, registration plate, kennzeichen, kfz kennzeichen, matricula
        """,
    ),
    ("UK_NHS", values.digits(10, 10), "nhs number, nhs, nhs no"),
    ("UK_NINO", values.document_number, "nino, national insurance number, national insurance, ni number"),
    ("IN_AADHAAR", values.digits(12, 12), "aadhaar, aadhar, aadhaar number, aadhar number"),
    ("IN_PAN", values.document_number, "pan number, pan card, permanent account number"),
    ("PL_PESEL", values.digits(11, 11), "pesel"),
    ("SG_NRIC_FIN", values.document_number, "nric, nric fin"),
    ("SE_PERSONNUMMER", values.digits(10, 12, others="+-"), "personnummer"),
    ("IT_FISCAL_CODE", values.document_number, "codice fiscale, fiscal code"),
    (
        "NATIONAL_ID",
        values.document_number,
        """
        id number, identification number, visa number, national id, national id number, nationalid, national
        identification number, national identity number, identity number, id card, id card number, identity card,
        identity card number, identity document, citizen id, citizen number, personal id number, personal number,
        personal identification number, resident id, voter id, government id, cpf, curp, rut, dni, nie, nif, cedula,
        cédula, bsn, burgerservicenummer, personalausweis, ausweisnummer, egn, cnp, hkid, social insurance number,
        sin, nin, tckn, tc kimlik no, rrn, resident registration number, my number, 身份证号, 身份证
        """,
    ),
    (
        "TAX_ID",
        values.document_number,
        """
        tax id, tax number, taxid, tax id number, tax identification number, taxpayer id, taxpayer identification
        number, tin, ein, employer identification number, vat number, vat id, vat no, steuernummer, steuer id,
        steueridentifikationsnummer, ust id, ustid, tax file number, tfn, utr, partita iva, cnpj, cuit, cuil, rfc,
        numéro fiscal
        """,
    ),
    (
        "MEDICAL_RECORD",
        values.document_number,
        """
        mrn, medical record, medical record number, medical record no, medicalrecordnumber, patient id, patient
        number, patient no, health record number, chart number, hospital number, patient identifier, medical id
        """,
    ),
    (
        "HEALTH_INSURANCE",
        values.document_number,
        """
        insurance number, insurance id, health insurance number, health insurance id, insurance policy number,
        medicaid id, medicare number, medicare id, medicare, medicaid number, health plan id,
        krankenversicherungsnummer, versichertennummer, insurance member id, health card number, subscriber number
        """,
    ),
    (
        "MEDICAL",
        values.words,
        """
        diagnosis, diagnoses, medication, medications, allergies, allergy, medical condition, medical history,
        prescription, blood type, blood group, symptoms, chief complaint, medical notes
        """,
    ),
    (
        "NRP",
        values.place,
        """
        nationality, citizenship, religion, ethnicity, ethnic group, ethnic origin, political party, political
        affiliation, political opinion, sexual orientation, staatsangehörigkeit, nacionalidad, nationalité, konfession
        """,
    ),
)

SAID_OF_PEOPLE: Final = _words(
    """
    age alter edad diagnosis diagnoses medication medications allergies allergy symptoms prescription caller social
    """
)
"""Keys of the table that things have as well: only where the key or its object is about a person."""

HALVES: Final = _words(
    """
    number no num nr first last given family middle full line value text date code holder maiden preferred legal
    year id street mobile home work secret key name token confirm confirmation answer
    """
)
"""Keys that take the other half from their object's: `card.number`, `name.first`."""

FILLERS: Final = _words(
    """
    number no num nr nbr value text string str field input raw plain plaintext primary secondary main current new
    old home work office personal private business alt alternate alternative other actual original full clear
    cleartext list one two
    """
)
"""Words after what a key is about: `phone_home`, `password_new`."""

PEOPLE: Final = _words(
    """
    customer client patient person people employee contact guest passenger beneficiary recipient sender payee payer
    user owner author applicant borrower insured subscriber student teacher pupil candidate member driver rider
    traveler traveller attendee buyer participant spouse husband wife mother father guardian physician doctor nurse
    dentist lawyer attorney signatory signer cardholder holder shopper consignee assignee reporter requester
    requestor manager supervisor colleague visitor landlord donor billing shipping consumer caller reviewer approver
    individual profile citizen victim witness suspect plaintiff defendant referrer nominee kunde mitarbeiter
    patientin kundin cliente paciente empleado titular utilisateur relative sibling brother sister representative
    director trustee heir claimant worker staff speaker delegate creator editor submitter debtor creditor seller
    """
)
"""Words for people, in the singular; not those that machines and trees have too."""

THINGS: Final = _words(
    """
    product item file host service function company organization organisation business event field column table
    database db app application project repo repository class package module plan role group team department queue
    topic stream bucket cluster node pod container image job task step stage pipeline workflow branch tag label
    domain server device model brand category store shop bank school street city country state region account screen
    page template tool method type param parameter variable metric resource namespace config key secret volume chart
    network interface path folder directory currency unit language locale campaign channel list set test schema
    index collection metadata spec sku variant merchant vendor supplier provider warehouse facility place line
    lines article catalog catalogue products items location
    venue airport course vehicle song album book
    """
)
"""What else has names."""

NO_STREETS: Final = _words(
    """
    ip mac email mail web url http https server host memory wallet eth btc crypto contract bind listen remote peer
    node pod cluster service network proxy socket tcp udp physical virtual base broadcast gateway dns endpoint local
    client bitcoin ethereum token hardware bluetooth wifi ethernet subnet register heap grpc
    """
)
"""What else has addresses."""

ADDRESS_PARENTS: Final = _words(
    """
    address addresse addr adresse home shipping billing delivery residence mailing postal customer patient person
    employee contact recipient birth user guest anschrift direccion profile cardholder beneficiary applicant client
    sender domicilio shipment
    """
)
"""Whose city it is."""

ENDINGS: Final = sorted(
    _words(
        """
        emailaddress streetaddress dateofbirth phonenumber cardnumber accountnumber passportnumber firstname
        lastname fullname surname birthdate birthday password passphrase passwd apikey secretkey accesstoken
        refreshtoken clientsecret postalcode postcode zipcode telephone email
        """
    )
)
"""Keys written as one word, whatever stands before: `customeremail`."""

SPEAKS_OF_PEOPLE: Final = frozenset(
    {
        key
        for key, (entity, _) in TABLE.items()
        if entity in {"DATE_OF_BIRTH", "US_SSN", "MEDICAL_RECORD", "PASSPORT", "DRIVER_LICENSE", "NATIONAL_ID"}
        or (entity == "PERSON" and not key.startswith(("nick", "full")))
        or key in {"email", "emailaddress", "phone", "phonenumber", "mobile", "mobilephone", "homeaddress"}
    }
)
"""Keys, joined, that only objects about people have (repositories have a full name, too)."""
