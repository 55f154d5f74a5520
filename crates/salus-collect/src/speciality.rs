use serde::{Deserialize, Serialize};

macro_rules! specialities {
    ($($name:ident $word:literal $title:literal,)*) => {
        /// The clinical speciality that a device is used in.
        ///
        /// # Source
        /// The 55 values of `MedicalSpeciality` in MedTech Chain's published protocol
        /// (`MedTechChain/protos`, `proto/devicedata/devicedata.proto`), with its spelling, in
        /// kebab case; its zero value, "unspecified", is no speciality here.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Speciality {
            $(#[doc = concat!($title, ".")] $name,)*
        }

        impl Speciality {
            /// Every speciality.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The word in records.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }

            /// The title for people.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self {
                    $(Self::$name => $title,)*
                }
            }
        }
    };
}

specialities! {
    AllergyAndImmunology "allergy-and-immunology" "Allergy and immunology",
    Anesthesiology "anesthesiology" "Anesthesiology",
    Dermatology "dermatology" "Dermatology",
    DiagnosticRadiology "diagnostic-radiology" "Diagnostic radiology",
    EmergencyMedicine "emergency-medicine" "Emergency medicine",
    FamilyMedicine "family-medicine" "Family medicine",
    InternalMedicine "internal-medicine" "Internal medicine",
    MedicalGenetics "medical-genetics" "Medical genetics",
    Neurology "neurology" "Neurology",
    NuclearMedicine "nuclear-medicine" "Nuclear medicine",
    ObstetricsAndGynecology "obstetrics-and-gynecology" "Obstetrics and gynecology",
    Ophthalmology "ophthalmology" "Ophthalmology",
    Pathology "pathology" "Pathology",
    Pediatrics "pediatrics" "Pediatrics",
    PhysicalMedicineAndRehabilitation "physical-medicine-and-rehabilitation" "Physical medicine and rehabilitation",
    PreventiveMedicine "preventive-medicine" "Preventive medicine",
    Psychiatry "psychiatry" "Psychiatry",
    RadiationOncology "radiation-oncology" "Radiation oncology",
    Surgery "surgery" "Surgery",
    Urology "urology" "Urology",
    Cardiology "cardiology" "Cardiology",
    Endocrinology "endocrinology" "Endocrinology",
    Gastroenterology "gastroenterology" "Gastroenterology",
    Geriatrics "geriatrics" "Geriatrics",
    Hematology "hematology" "Hematology",
    InfectiousDisease "infectious-disease" "Infectious disease",
    Nephrology "nephrology" "Nephrology",
    Oncology "oncology" "Oncology",
    Pulmonology "pulmonology" "Pulmonology",
    Rheumatology "rheumatology" "Rheumatology",
    Orthopedics "orthopedics" "Orthopedics",
    Otolaryngology "otolaryngology" "Otolaryngology",
    PlasticSurgery "plastic-surgery" "Plastic surgery",
    VascularSurgery "vascular-surgery" "Vascular surgery",
    ThoracicSurgery "thoracic-surgery" "Thoracic surgery",
    Neurosurgery "neurosurgery" "Neurosurgery",
    Podiatry "podiatry" "Podiatry",
    Dentistry "dentistry" "Dentistry",
    OralAndMaxillofacialSurgery "oral-and-maxillofacial-surgery" "Oral and maxillofacial surgery",
    Audiology "audiology" "Audiology",
    SpeechLanguagePathology "speech-language-pathology" "Speech-language pathology",
    OccupationalTherapy "occupational-therapy" "Occupational therapy",
    PhysicalTherapy "physical-therapy" "Physical therapy",
    Chiropractic "chiropractic" "Chiropractic",
    PainMedicine "pain-medicine" "Pain medicine",
    SportsMedicine "sports-medicine" "Sports medicine",
    PalliativeCare "palliative-care" "Palliative care",
    Pharmacology "pharmacology" "Pharmacology",
    Nutrition "nutrition" "Nutrition",
    Midwifery "midwifery" "Midwifery",
    Neonatology "neonatology" "Neonatology",
    CriticalCare "critical-care" "Critical care",
    HospiceAndPalliativeMedicine "hospice-and-palliative-medicine" "Hospice and palliative medicine",
    SleepMedicine "sleep-medicine" "Sleep medicine",
    ClinicalNeurophysiology "clinical-neurophysiology" "Clinical neurophysiology",
}

impl std::fmt::Display for Speciality {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Speciality {
    /// The speciality with this word, or with MedTech Chain's own name for it, such as
    /// `CRITICAL_CARE`.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        let same = |s: &Self| {
            let wire = |b: u8| if b == b'-' { b'_' } else { b.to_ascii_uppercase() };
            s.as_str() == word || s.as_str().bytes().map(wire).eq(word.bytes())
        };
        Self::ALL.iter().copied().find(same)
    }
}
