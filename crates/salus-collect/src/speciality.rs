use serde::{Deserialize, Serialize};

macro_rules! specialities {
    ($($name:ident $word:literal $title:literal,)*) => {
        /// The clinical speciality that a device is used in.
        ///
        /// # Source
        /// Directive 2005/36/EC, Annex V: the 54 titles of point 5.1.3, and general practice of
        /// point 5.1.4.
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

            /// The title as the directive has it.
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
    Anaesthetics "anaesthetics" "Anaesthetics",
    GeneralSurgery "general-surgery" "General surgery",
    NeurologicalSurgery "neurological-surgery" "Neurological surgery",
    ObstetricsAndGynaecology "obstetrics-and-gynaecology" "Obstetrics and gynaecology",
    GeneralMedicine "general-medicine" "General (internal) medicine",
    Ophthalmology "ophthalmology" "Ophthalmology",
    Otorhinolaryngology "otorhinolaryngology" "Otorhinolaryngology",
    Paediatrics "paediatrics" "Paediatrics",
    RespiratoryMedicine "respiratory-medicine" "Respiratory medicine",
    Urology "urology" "Urology",
    Orthopaedics "orthopaedics" "Orthopaedics",
    PathologicalAnatomy "pathological-anatomy" "Pathological anatomy",
    Neurology "neurology" "Neurology",
    Psychiatry "psychiatry" "Psychiatry",
    DiagnosticRadiology "diagnostic-radiology" "Diagnostic radiology",
    Radiotherapy "radiotherapy" "Radiotherapy",
    PlasticSurgery "plastic-surgery" "Plastic surgery",
    ClinicalBiology "clinical-biology" "Clinical biology",
    MicrobiologyBacteriology "microbiology-bacteriology" "Microbiology-bacteriology",
    BiologicalChemistry "biological-chemistry" "Biological chemistry",
    Immunology "immunology" "Immunology",
    ThoracicSurgery "thoracic-surgery" "Thoracic surgery",
    PaediatricSurgery "paediatric-surgery" "Paediatric surgery",
    VascularSurgery "vascular-surgery" "Vascular surgery",
    Cardiology "cardiology" "Cardiology",
    Gastroenterology "gastroenterology" "Gastroenterology",
    Rheumatology "rheumatology" "Rheumatology",
    GeneralHaematology "general-haematology" "General haematology",
    Endocrinology "endocrinology" "Endocrinology",
    Physiotherapy "physiotherapy" "Physiotherapy",
    Neuropsychiatry "neuropsychiatry" "Neuropsychiatry",
    DermatoVenereology "dermato-venereology" "Dermato-venereology",
    Dermatology "dermatology" "Dermatology",
    Venereology "venereology" "Venereology",
    Radiology "radiology" "Radiology",
    ChildPsychiatry "child-psychiatry" "Child psychiatry",
    Geriatrics "geriatrics" "Geriatrics",
    RenalDiseases "renal-diseases" "Renal diseases",
    CommunicableDiseases "communicable-diseases" "Communicable diseases",
    CommunityMedicine "community-medicine" "Community medicine",
    Pharmacology "pharmacology" "Pharmacology",
    OccupationalMedicine "occupational-medicine" "Occupational medicine",
    Allergology "allergology" "Allergology",
    NuclearMedicine "nuclear-medicine" "Nuclear medicine",
    MaxilloFacialSurgery "maxillo-facial-surgery" "Maxillo-facial surgery",
    BiologicalHaematology "biological-haematology" "Biological haematology",
    Stomatology "stomatology" "Stomatology",
    TropicalMedicine "tropical-medicine" "Tropical medicine",
    GastroenterologicalSurgery "gastroenterological-surgery" "Gastroenterological surgery",
    AccidentAndEmergencyMedicine "accident-and-emergency-medicine" "Accident and emergency medicine",
    ClinicalNeurophysiology "clinical-neurophysiology" "Clinical neurophysiology",
    OralAndMaxilloFacialSurgery "oral-and-maxillo-facial-surgery" "Dental, oral and maxillo-facial surgery",
    MedicalOncology "medical-oncology" "Medical oncology",
    MedicalGenetics "medical-genetics" "Medical genetics",
    GeneralPractice "general-practice" "General practice",
}

impl std::fmt::Display for Speciality {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Speciality {
    /// The speciality with this word.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|s| s.as_str() == word)
    }
}
