"""CLIPs that are in use today, as open_clip names them, for `gaid doctor`. Nothing here is needed to use another.

Of models that differ only in the size of their pictures, one is listed. A test builds each architecture and compares.
"""

from gaid.backbones.protocol import PublishedModel

APPLE = "Apple AMLR (research only)"

PUBLISHED = (
    PublishedModel("clip:ViT-B-32/openai", 151, 512, "MIT"),
    PublishedModel("clip:ViT-B-16/openai", 150, 512, "MIT"),
    PublishedModel("clip:ViT-L-14/openai", 428, 768, "MIT"),
    PublishedModel("clip:PE-Core-T-16-384/meta", 70, 512, "Apache-2.0"),
    PublishedModel("clip:PE-Core-S-16-384/meta", 87, 512, "Apache-2.0"),
    PublishedModel("clip:PE-Core-B-16/meta", 448, 1024, "Apache-2.0"),
    PublishedModel("clip:PE-Core-L-14-336/meta", 671, 1024, "Apache-2.0"),
    PublishedModel("clip:PE-Core-bigG-14-448/meta", 2419, 1280, "Apache-2.0"),
    PublishedModel("clip:ViT-B-32-SigLIP2-256/webli", 377, 768, "Apache-2.0"),
    PublishedModel("clip:ViT-B-16-SigLIP2-256/webli", 375, 768, "Apache-2.0"),
    PublishedModel("clip:ViT-L-16-SigLIP2-256/webli", 882, 1024, "Apache-2.0"),
    PublishedModel("clip:ViT-SO400M-16-SigLIP2-256/webli", 1136, 1152, "Apache-2.0"),
    PublishedModel("clip:ViT-gopt-16-SigLIP2-256/webli", 1871, 1536, "Apache-2.0"),
    PublishedModel("clip:MobileCLIP2-S0/dfndr2b", 75, 512, APPLE),
    PublishedModel("clip:MobileCLIP2-S2/dfndr2b", 99, 512, APPLE),
    PublishedModel("clip:MobileCLIP2-B/dfndr2b", 150, 512, APPLE),
    PublishedModel("clip:MobileCLIP2-S3/dfndr2b", 249, 768, APPLE),
    PublishedModel("clip:MobileCLIP2-L-14/dfndr2b", 428, 768, APPLE),
    PublishedModel("clip:MobileCLIP2-S4/dfndr2b", 445, 768, APPLE),
    PublishedModel("clip:EVA02-B-16/merged2b_s8b_b131k", 150, 512, "MIT"),
    PublishedModel("clip:EVA02-L-14/merged2b_s4b_b131k", 428, 768, "MIT"),
    PublishedModel("clip:EVA02-L-14-336/merged2b_s6b_b61k", 428, 768, "MIT"),
    PublishedModel("clip:EVA02-E-14/laion2b_s4b_b115k", 4705, 1024, "MIT"),
    PublishedModel("clip:EVA02-E-14-plus/laion2b_s9b_b144k", 5045, 1024, "MIT"),
    PublishedModel("clip:ViT-H-14-worldwide/metaclip2_worldwide", 1859, 1024, "CC-BY-NC-4.0"),
    PublishedModel("clip:ViT-bigG-14-worldwide/metaclip2_worldwide", 3630, 1280, "CC-BY-NC-4.0"),
)
