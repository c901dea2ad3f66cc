/* amend and bitmap */
#include "tools/tandem-img.h"

int img_amend(Img *img, int argc, char **argv)
{
    return img_error(img, "amend is not there yet; 'convert -o ...' makes an image with other options");
}

int img_bitmap(Img *img, int argc, char **argv)
{
    return img_error(img, "bitmap is not there yet");
}
