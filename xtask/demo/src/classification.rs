//! Finds the category of a device.
//!
//! The PCI ID database gives devices no class, so this module guesses one from words in the
//! device's name. The first matching rule applies, so specific words come before general ones
//! ("usb" before "controller", "sata raid" before "sata"). Without a matching rule, a device is an
//! "Unclassified device" (class 00). The guess only has to be stable, not correct.
//!
//! A rule's word matches at the beginning of a word of the name, in any case: "bridge" matches "PCI
//! Bridge" and "Bridges", but not "Cambridge".

/// Words, and the class and subclass of devices that have one of them.
type Rule = (&'static [&'static str], u8, Option<u8>);

/// The class of devices without a matching rule.
const UNCLASSIFIED: u8 = 0x00;

const RULES: &[Rule] = &[
    // Networks
    (&["infiniband", "connectx", "mt2"], 0x02, Some(0x07)),
    (&["omni-path", "fabric"], 0x02, Some(0x08)),
    (&["token ring", "token-ring"], 0x02, Some(0x01)),
    (&["fddi"], 0x02, Some(0x02)),
    (&["atm "], 0x02, Some(0x03)),
    (&["isdn"], 0x02, Some(0x04)),
    (&["bluetooth"], 0x0d, Some(0x11)),
    (
        &["wireless", "wi-fi", "wifi", "wlan", "802.11", "centrino"],
        0x02,
        Some(0x80),
    ),
    (
        &[
            "ethernet", "gigabit", "10gbe", "25gbe", "40gbe", "100gbe", "10/100", "fast eth",
            "lan ", "nic", "sr-iov",
        ],
        0x02,
        Some(0x00),
    ),
    // Storage
    (&["nvme", "ssd", "optane"], 0x01, Some(0x08)),
    (
        &["sas ", "sas2", "sas3", "serial attached scsi"],
        0x01,
        Some(0x07),
    ),
    (
        &["raid", "megaraid", "smart array", "perc"],
        0x01,
        Some(0x04),
    ),
    (&["sata", "ahci"], 0x01, Some(0x06)),
    (&["scsi", "aic-", "aha-"], 0x01, Some(0x00)),
    (&["ide ", "ide", "ultra ata", "udma"], 0x01, Some(0x01)),
    (&["floppy"], 0x01, Some(0x02)),
    (
        &["fibre channel", "fiber channel", "fc hba"],
        0x0c,
        Some(0x04),
    ),
    // Pictures
    (
        &[
            "geforce", "quadro", "radeon", "firepro", "vga", "graphics", "gpu", "matrox", "riva",
            "rage", "virge", "iris", "uhd",
        ],
        0x03,
        Some(0x00),
    ),
    (&["tesla", "instinct", "3d"], 0x03, Some(0x02)),
    (&["display", "video controller"], 0x03, Some(0x80)),
    // Sound and television
    (
        &["hd audio", "high definition audio", "hdmi", "audio dsp"],
        0x04,
        Some(0x03),
    ),
    (
        &["audio", "sound", "ac'97", "ac97", "es18"],
        0x04,
        Some(0x01),
    ),
    (
        &[
            "video", "tv ", "mpeg", "dvb", "capture", "tuner", "camera", "imaging",
        ],
        0x04,
        Some(0x00),
    ),
    // Buses
    (
        &["usb", "xhci", "ehci", "uhci", "ohci", "thunderbolt"],
        0x0c,
        Some(0x03),
    ),
    (&["ieee 1394", "ieee1394", "firewire"], 0x0c, Some(0x00)),
    (&["smbus", "i2c", "spi"], 0x0c, Some(0x05)),
    (&["ipmi", "bmc"], 0x0c, Some(0x07)),
    (&["can ", "canbus", "can-"], 0x0c, Some(0x09)),
    (&["cardbus"], 0x06, Some(0x07)),
    (&["pcmcia"], 0x06, Some(0x05)),
    (
        &[
            "host bridge",
            "north bridge",
            "northbridge",
            "host-bridge",
            "root complex",
            "dram controller",
        ],
        0x06,
        Some(0x00),
    ),
    (
        &["isa bridge", "lpc", "south bridge", "southbridge", "espi"],
        0x06,
        Some(0x01),
    ),
    (
        &[
            "pci bridge",
            "pci-to-pci",
            "pcie bridge",
            "pci express root",
            "pcie root",
            "root port",
            "switch",
            "pci express port",
            "agp",
        ],
        0x06,
        Some(0x04),
    ),
    (&["bridge"], 0x06, Some(0x80)),
    // Serial and parallel lines, telephones
    (
        &["modem", "winmodem", "v.90", "v.92", "softmodem"],
        0x07,
        Some(0x03),
    ),
    (
        &[
            "serial",
            "uart",
            "rs-232",
            "rs232",
            "rs-485",
            "multiport",
            "com port",
        ],
        0x07,
        Some(0x00),
    ),
    (&["parallel", "printer"], 0x07, Some(0x01)),
    (&["gpib"], 0x07, Some(0x04)),
    (&["telephony", "voice", "e1", "t1"], 0x07, Some(0x80)),
    // Memory, processors and related devices
    (&["flash memory"], 0x05, Some(0x01)),
    (&["cxl"], 0x05, Some(0x02)),
    (&["memory", "ram ", "dimm"], 0x05, Some(0x00)),
    (&["iommu"], 0x08, Some(0x06)),
    (&["dma"], 0x08, Some(0x01)),
    (&["timer", "hpet"], 0x08, Some(0x02)),
    (&["rtc"], 0x08, Some(0x03)),
    (&["hot-plug", "hotplug", "hot plug"], 0x08, Some(0x04)),
    (
        &["sd host", "sd/mmc", "sd card", "mmc", "card reader"],
        0x08,
        Some(0x05),
    ),
    (
        &[
            "apic",
            "interrupt",
            "system peripheral",
            "system management",
            "power management",
            "pmc",
        ],
        0x08,
        Some(0x80),
    ),
    (&["gameport", "joystick"], 0x09, Some(0x04)),
    (&["keyboard"], 0x09, Some(0x00)),
    (&["mouse", "touch"], 0x09, Some(0x02)),
    (&["docking", "dock "], 0x0a, Some(0x80)),
    (
        &["fpga", "accelerat", "tpu", "npu", "neural"],
        0x12,
        Some(0x00),
    ),
    (
        &[
            "xeon",
            "core processor",
            "processor",
            "cpu",
            "qpi",
            "upi",
            "uncore",
        ],
        0x0b,
        Some(0x40),
    ),
    (&["powerpc", "power pc"], 0x0b, Some(0x20)),
    (
        &["crypto", "encrypt", "security", "quickassist", "qat", "psp"],
        0x10,
        Some(0x80),
    ),
    (&["satellite"], 0x0f, Some(0x04)),
    (
        &[
            "dsp",
            "signal process",
            "thermal",
            "sensor",
            "a/d",
            "digitizer",
            "data acquisition",
        ],
        0x11,
        Some(0x80),
    ),
    (&["i2o"], 0x0e, Some(0x00)),
    // General words
    (&["network"], 0x02, Some(0x80)),
    (&["multimedia"], 0x04, Some(0x80)),
    (&["storage"], 0x01, Some(0x80)),
    (&["communication", "heci", "mei"], 0x07, Some(0x80)),
    (&["chipset", "chip set"], 0x06, Some(0x80)),
];

/// The class of a device with this name, and the subclass if the rule names one.
pub(crate) fn classify(name: &str) -> (u8, Option<u8>) {
    // A blank at both ends lets a rule match the end of a word with a trailing blank.
    let name = format!(" {} ", name.to_lowercase());
    let rule = RULES
        .iter()
        .find(|(words, _, _)| words.iter().any(|word| begins_a_word(&name, word)));
    rule.map_or((UNCLASSIFIED, None), |(_, class, subclass)| {
        (*class, *subclass)
    })
}

fn begins_a_word(name: &str, word: &str) -> bool {
    name.match_indices(word)
        .any(|(at, _)| !name[..at].ends_with(char::is_alphanumeric))
}

#[cfg(test)]
mod tests {
    use pci_ids::{Class, FromId, Subclass};

    use super::*;

    #[test]
    fn rules_name_classes_of_the_data() {
        for (words, class, subclass) in RULES {
            assert!(
                <Class as FromId<u8>>::from_id(*class).is_some(),
                "{words:?}"
            );
            assert!(
                subclass.is_none_or(|subclass| Subclass::from_cid_sid(*class, subclass).is_some()),
                "{words:?}"
            );
            assert!(
                words.iter().all(|word| *word == word.to_lowercase()),
                "{words:?}"
            );
        }
        assert_eq!(
            <Class as FromId<u8>>::from_id(UNCLASSIFIED).map(Class::name),
            Some("Unclassified device")
        );
    }

    #[test]
    fn words_match_at_their_beginning() {
        assert_eq!(
            classify("82540EM Gigabit Ethernet Controller"),
            (0x02, Some(0x00))
        );
        assert_eq!(classify("SATA RAID Controller"), (0x01, Some(0x04)));
        assert_eq!(classify("GA102 [GeForce RTX 3090]"), (0x03, Some(0x00)));
        assert_eq!(classify("Cambridge Thing"), (UNCLASSIFIED, None));
    }
}
